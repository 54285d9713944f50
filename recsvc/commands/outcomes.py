"""What followed answers, for people at a terminal."""

from typing import Annotated, Any

import typer

from recsvc.commands import console
from recsvc.commands._shared import AsJson, print_document
from recsvc.commands.connecting import open_gateway, prune_old
from recsvc.graph.outcome_store import outcome_statistics
from recsvc.settings import load_settings


def stats(
    kind: Annotated[str, typer.Option(help="What counts as acted on, such as purchase.")] = "click",
    days: Annotated[int, typer.Option(min=1, max=3650, help="Of how many last days.")] = 30,
    as_json: AsJson = False,
) -> None:
    """What followed answers: how often by kind, and rates by position, version and scenario."""
    with open_gateway(load_settings()) as gateway:
        statistics = outcome_statistics(gateway, kind, days)
    if as_json:
        console.print_json(statistics)
        return
    if not statistics["kinds"]:
        console.say("no outcome was told yet: POST /v1/outcomes takes them")
        return
    for title, rows in (
        ("outcomes by kind", statistics["kinds"]),
        (f"shown, and then {kind}, by position, last {days} days", statistics["by_position"]),
        ("the same by version, scenario, experiment and variant", statistics["by_version"]),
    ):
        if rows:
            columns = list(rows[0])
            console.print_table(title, columns, [[_cell(row[c]) for c in columns] for row in rows])


def prune(as_json: AsJson = False) -> None:
    """Delete outcomes that are older than outcomes.keep_days."""
    settings = load_settings()
    with open_gateway(settings) as gateway:
        pruned = prune_old(gateway, settings)
    print_document({"pruned": pruned}, f"{pruned} outcomes are deleted", as_json=as_json)


def _cell(value: Any) -> Any:
    return "none" if value is None else round(value, 4) if isinstance(value, float) else value
