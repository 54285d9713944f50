"""Scenarios: stored, looked at, tried, taken back."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from recsvc.answer import as_document
from recsvc.commands import console
from recsvc.commands._shared import AsJson, SeenRevision, new_name, short_name
from recsvc.commands.connecting import with_engine
from recsvc.errors import SettingsError
from recsvc.recommend.engine import Engine
from recsvc.scenarios.document import Scenario
from recsvc.settings import load_settings

_Revision = Annotated[int | None, typer.Option(min=1, help="Which; the newest without it.")]
_File = Annotated[Path, typer.Argument(help="A JSON file with the scenario.", exists=True)]
_Name = Annotated[str | None, typer.Option(help="Its name; that of the file without it.")]


def list_(as_json: AsJson = False) -> None:
    """The stored scenarios."""

    async def work(engine: Engine) -> list[dict[str, Any]]:
        await engine.scenarios.reload()
        return [
            {
                "name": scenario.stored.name, "revision": scenario.stored.revision,
                "at": scenario.stored.at, "trouble": scenario.trouble,
            }
            for scenario in engine.scenarios.current()
        ]  # fmt: skip

    stored = with_engine(load_settings(), work)
    if as_json:
        console.print_json({"scenarios": stored})
    else:
        rows = [
            (scenario["name"], scenario["revision"], scenario["at"], scenario["trouble"])
            for scenario in stored
        ]
        console.print_table("scenarios", ("name", "revision", "stored at", "trouble"), rows)


def show(name: str, revision: _Revision = None) -> None:
    """A stored scenario as JSON, as `put` takes it."""

    async def work(engine: Engine) -> dict[str, Any]:
        current, _ = await engine.scenarios.revision(name, revision)
        if current.scenario is None:
            raise SettingsError(f"{current.trouble}: put it anew")
        return current.scenario.document()

    console.print_json(with_engine(load_settings(), work))


def put(
    file: _File, name: _Name = None, revision: SeenRevision = None, as_json: AsJson = False
) -> None:
    """Store a scenario as its next revision."""
    scenario, name = _read(file), new_name(name or file.stem)
    made = with_engine(
        load_settings(), lambda engine: engine.scenarios.put(name, scenario, revision)
    )
    _say(name, made, as_json=as_json)


def try_(file: _File, user: str, name: _Name = None, as_json: AsJson = False) -> None:
    """What a scenario would change for a user; nothing is stored."""
    from recsvc.recommend.scenario_trial import try_scenario

    scenario, name = _read(file), short_name(name or file.stem)
    before, after, moves = with_engine(
        load_settings(), lambda engine: try_scenario(engine, name, scenario, user)
    )
    if as_json:
        document = {"before": as_document(before), "after": as_document(after), "moves": moves}
        console.print_json(document)
        return
    console.print_answer(after)
    rows = [(m["item_id"], m["title"], m["before"], m["after"], m["why"]) for m in moves]
    console.print_table("what moves", ("item", "title", "rank before", "after", "why"), rows)
    for note in after.scenario.notes if after.scenario else ():
        console.say(note)


def rollback(name: str, revision: _Revision = None, as_json: AsJson = False) -> None:
    """Store an earlier revision, or the one before, as the next one."""
    made = with_engine(load_settings(), lambda engine: engine.scenarios.roll_back(name, revision))
    _say(name, made, as_json=as_json)


def delete(name: str, as_json: AsJson = False) -> None:
    """Delete a scenario with all its revisions."""
    with_engine(load_settings(), lambda engine: engine.scenarios.delete(name))
    if as_json:
        console.print_json({"deleted": name})
    else:
        console.say(f"deleted: {name}")


def _say(name: str, revision: int, *, as_json: bool) -> None:
    if as_json:
        console.print_json({"name": name, "revision": revision})
    else:
        console.say(f"{name} is at revision {revision}")


def _read(file: Path) -> Scenario:
    """The scenario of a file.

    Raises:
        SettingsError: it is none; the message names the first field that is wrong.
    """
    try:
        return Scenario.model_validate(json.loads(file.read_text(encoding="utf-8")))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "document"
        raise SettingsError(f"{file}: {where}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{file} is not JSON: {error}") from None
