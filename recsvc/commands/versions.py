"""Versions of models: which there are, and which is active."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Annotated

import typer

from loaders.gateway import Gateway
from recsvc.commands import console
from recsvc.commands._shared import AsJson
from recsvc.commands.connecting import open_gateway, open_writing_gateway
from recsvc.graph.version_store import all_versions
from recsvc.settings import load_settings


def versions(as_json: AsJson = False) -> None:
    """The versions of all models, newest first."""
    with open_gateway(load_settings()) as gateway:
        rows = all_versions(gateway)
    if as_json:
        console.print_json({"versions": rows})
        return
    for row in rows:
        if unreadable := row.get("unreadable"):
            name = f"{row.get('model')} {row.get('version')}"
            console.say(f"{name}: {', '.join(unreadable)} cannot be read")
    columns = ("model", "version", "status", "slot", "activated_at")
    table = [[row.get(column) or "" for column in columns] for row in rows]
    console.print_table("embedding versions", columns, table)


ModelName = Annotated[str, typer.Argument(help="A model, such as lightgcn or hybrid.")]


def activate(
    model: ModelName,
    version: Annotated[
        int, typer.Argument(min=1, max=2**31, help="Its version: see `recsvc versions`.")
    ],
    as_json: AsJson = False,
) -> None:
    """Make a version active that was so before, with all that the same refresh made."""
    from recsvc.snapshot import activation

    _flip(lambda gateway: activation.activate(gateway, model, version), as_json=as_json)


def rollback(model: ModelName, as_json: AsJson = False) -> None:
    """Make the versions active that were before the active ones, of all models together."""
    from recsvc.snapshot import activation

    _flip(lambda gateway: activation.roll_back(gateway, model), as_json=as_json)


def unlearn(as_json: AsJson = False) -> None:
    """Make rows again without users and events that are gone, in every stored version."""
    from recsvc.refresh.unlearning import unlearn as run_unlearning

    settings = load_settings()
    with open_writing_gateway(settings) as gateway, console.progress_bars() as bars:
        unlearned = run_unlearning(
            gateway, home=settings.home, lease_seconds=settings.refresh_lease_seconds, progress=bars
        )
    if as_json:
        console.print_json({"versions": [asdict(version) for version in unlearned]})
        return
    rows = [(v.version, ", ".join(v.anew), v.removed or ", ".join(v.trained)) for v in unlearned]
    console.print_table("hybrid", ("version", "made again", "not before a refresh"), rows)


def _flip(work: Callable[[Gateway], dict[str, int]], *, as_json: bool) -> None:
    from recsvc.snapshot.activation import stored_snapshot, write_neighbours

    with open_gateway(load_settings()) as gateway, console.progress_bars() as bars:
        versions = work(gateway)
        write_neighbours(gateway, stored_snapshot(gateway, versions["hybrid"]), bars)
    if as_json:
        console.print_json({"versions": versions})
    else:
        console.print_mapping("active versions", versions)
