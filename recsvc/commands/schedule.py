"""Refreshes by the clock."""

from typing import Annotated

import typer

from recsvc.commands._shared import Device, Seed
from recsvc.refresh.process import refresh_command
from recsvc.settings import load_settings


def schedule(
    cron: Annotated[
        str, typer.Option(help="When: minute, hour, day of month, month, day of week.")
    ],
    timezone: Annotated[
        str | None, typer.Option(help="Time zone of these, such as Europe/Oslo; else local time.")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Embedding models to blend; repeat for several.")
    ] = None,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Refresh whenever it is due, in a process of its own each time, until Ctrl-C."""
    from recsvc.refresh.schedule import Schedule, crontab, zone

    load_settings()  # what is wrong is said once here, not by each refresh
    try:
        next_due = crontab(cron, zone(timezone))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    Schedule(refresh_command(model or (), seed=seed, device=device), next_due).run_until_stopped()
