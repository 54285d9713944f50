"""How evenly items come to be seen, on the terminal."""

from typing import Annotated

import typer

from recsvc.commands import console
from recsvc.commands._shared import AsJson, Count
from recsvc.commands.connecting import with_engine
from recsvc.recommend.engine import Engine
from recsvc.recommend.exposure import MeasuredExposure, exposure_document
from recsvc.settings import load_settings


def exposure(
    users: Annotated[int, typer.Option(min=1, max=500, help="Of how many users, drawn.")] = 100,
    k: Count = 10,
    days: Annotated[int, typer.Option(min=1, max=3650, help="Of impressions: how many last.")] = 30,
    item_property: Annotated[
        str | None, typer.Option("--property", help="A property of items, such as brand.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="A property of users, such as country.")] = None,
    as_json: AsJson = False,
) -> None:
    """How evenly items come to be seen: in the lists of some users, and of what was shown."""

    async def measured(engine: Engine) -> tuple[int, MeasuredExposure, MeasuredExposure]:
        return (
            *await engine.exposure_of_answers(users, k, item_property, group),
            await engine.exposure_of_impressions(days, item_property, group),
        )

    lists, answers, shown = with_engine(load_settings(), measured)
    if as_json:
        console.print_json(exposure_document(lists, answers, shown))
        return
    _print(f"{lists} lists of {k} items", answers)
    _print(f"impressions of {days} days", shown)


def _print(title: str, exposure: MeasuredExposure) -> None:
    spread = exposure.exposure
    told = {"places": spread.places, "Gini": spread.gini, "coverage": spread.coverage}
    console.print_mapping(title, told)
    tenths = {f"tenth {n} by popularity": share for n, share in enumerate(spread.deciles, start=1)}
    rows = [
        (name or "none", share.items, share.catalogue, share.places)
        for name, share in (tenths | dict(exposure.by_value)).items()
    ]
    console.print_table("shares", ("items", "number", "of items", "of places"), rows)
    for title, name, some in (
        ("groups", "users", exposure.by_group),
        ("days", "day", exposure.by_day),
    ):
        if some:
            cells = [(value or "none", e.places, e.gini, e.coverage) for value, e in some.items()]
            console.print_table(title, (name, "places", "Gini", "coverage"), cells)
