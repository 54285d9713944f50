"""Experiments, for people at a terminal."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from recsvc.commands import console
from recsvc.commands._shared import AsJson, SeenRevision, new_name, print_document
from recsvc.commands.connecting import with_engine
from recsvc.errors import SettingsError
from recsvc.experiments.document import Experiment
from recsvc.experiments.sequential import Difference
from recsvc.recommend.engine import Engine
from recsvc.recommend.experiments import (
    KnownExperiment,
    Trials,
    listed,
    results_document,
    told,
)
from recsvc.recommend.query import RecommendationQuery
from recsvc.settings import load_settings

_NewName = Annotated[str, typer.Argument(callback=new_name)]


def list_(as_json: AsJson = False) -> None:
    """All experiments, by name."""

    async def read(engine: Engine) -> Trials:
        await engine.experiments.reload()
        return engine.experiments.now

    trials = with_engine(load_settings(), read)
    if as_json:
        console.print_json(listed(trials))
        return
    rows = [
        (
            each.stored.name,
            each.stored.revision,
            _state(each),
            ", ".join(f"{v.name} {v.share:g}" for v in each.document.variants),
        )
        for each in trials.known.values()
    ]
    console.print_table("experiments", ("name", "revision", "state", "variants"), rows)
    for trouble in trials.unreadable.values():
        console.say(f"{trouble}: put it anew, or delete it")


def put(name: _NewName, file: Path, revision: SeenRevision = None, as_json: AsJson = False) -> None:
    """Have an experiment run from now on: a JSON file as PUT /v1/experiments/NAME takes it."""
    try:
        document = Experiment.model_validate_json(file.read_bytes())
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        raise SettingsError(f"{file}: {where}: {first['msg']}") from None
    experiment = with_engine(
        load_settings(), lambda engine: engine.experiments.put(name, document, revision)
    )
    print_document(told(experiment), f"{name} runs", as_json=as_json)


def stop(
    name: str,
    promote: Annotated[
        str | None, typer.Option(help="A variant that everybody gets from now on.")
    ] = None,
    revision: SeenRevision = None,
    as_json: AsJson = False,
) -> None:
    """Stop an experiment."""
    experiment = with_engine(
        load_settings(), lambda engine: engine.experiments.end(name, promote, revision)
    )
    print_document(told(experiment), f"{name} is stopped", as_json=as_json)


def delete(name: str, as_json: AsJson = False) -> None:
    """Delete an experiment; the outcomes of its answers stay."""
    with_engine(load_settings(), lambda engine: engine.experiments.delete(name))
    print_document({"deleted": name}, f"{name} is deleted", as_json=as_json)


def results(
    name: str,
    kind: Annotated[str | None, typer.Option(help="Of outcomes, such as purchase.")] = None,
    segment: Annotated[str | None, typer.Option(help="A property of users.")] = None,
    as_json: AsJson = False,
) -> None:
    """How often an item that was shown was acted on, by variant."""
    measured = with_engine(
        load_settings(), lambda engine: engine.experiments.results(name, kind, segment)
    )
    if as_json:
        console.print_json(results_document(measured, kind, segment))
        return
    kind = kind or measured.experiment.document.kind
    for value, each in measured.by_value.items():
        if each.mismatch:
            console.say("users came to the variants unlike their shares: do not compare the rates")
        rows = [
            (r.variant, r.users, r.shown, r.followed, round(r.rate, 5), _interval(r.difference))
            for r in each.variants
        ]
        title = f"{name}: {kind}{f', {segment} {value}' if segment else ''}"
        columns = ("variant", "users", "shown", "followed", "rate", "difference")
        console.print_table(title, columns, rows)
    if (days := measured.last_days) is not None:
        console.say(
            f"it began more than {days} days ago, and older outcomes are not kept: results "
            f"are of the last {days} days, and intervals do not hold at all looks"
        )
    for each in measured.changed:
        what = f"scenario {each.name!r}, revision" if each.kind == "scenario" else "version"
        console.say(f"changed meanwhile: {what} {each.number}, {each.at:%Y-%m-%d %H:%M:%S} UTC")
    if measured.left_out:
        console.say(f"{measured.left_out} more values of {segment}, with fewer users, are left out")


def _state(experiment: KnownExperiment) -> str:
    if experiment.runs:
        return "runs"
    promoted = experiment.stored.promoted
    if promoted is None:
        return "stopped"
    return f"{promoted} promoted" if experiment.decides else f"stopped, {promoted} was promoted"


def estimate(
    version: Annotated[
        int | None, typer.Option(help="Of the blend; left out, the active one.")
    ] = None,
    scenario: Annotated[str | None, typer.Option(help="What the lists are made under.")] = None,
    logged: Annotated[
        str | None, typer.Option(help="The scenario of the log; left out, that of --scenario.")
    ] = None,
    kind: Annotated[str, typer.Option(help="Of outcomes, such as purchase.")] = "click",
    days: Annotated[int, typer.Option(min=1, max=3650, help="Of the log: how many last.")] = 30,
    as_json: AsJson = False,
) -> None:
    """What lists would have earned, from what was shown instead and what followed."""
    query = RecommendationQuery(version=version, scenario=scenario)
    with console.progress_bars() as bars:
        from_log = with_engine(
            load_settings(),
            lambda engine: engine.estimate(query, logged or scenario, kind, days, bars),
        )
    estimates = from_log.estimates
    if as_json:
        users = {"users": from_log.users, "all_users": from_log.all_users}
        console.print_json(users | asdict(estimates) | {"doubts": estimates.doubts})
        return
    named = {
        "as shown": estimates.logged,
        "IPS": estimates.inverse_propensity,
        "SNIPS": estimates.self_normalized,
        "DR": estimates.doubly_robust,
    }
    rows = [
        (name, round(v.mean, 5), f"{v.low:.5f} to {v.high:.5f}", round(v.effective_places))
        for name, v in named.items()
    ]
    title = (
        f"{kind} of an answer: {estimates.places:,} places of {estimates.answers:,} answers to "
        f"{from_log.users:,} of {from_log.all_users:,} users"
    )
    console.print_table(title, ("lists", "mean", "95%", "places that count"), rows)
    for doubt in estimates.doubts:
        console.say(doubt)


def _interval(apart: Difference | None) -> str:
    return "" if apart is None else f"{apart.mean:+.5f} ({apart.low:+.5f} to {apart.high:+.5f})"
