"""The Neo4j on this machine: `recsvc db …`."""

import dataclasses
from typing import Annotated

import typer

from loaders.local_neo4j import LocalNeo4j
from recsvc.commands import console
from recsvc.commands._shared import AsJson, print_document
from recsvc.commands.connecting import local_neo4j
from recsvc.settings import load_settings


def up(
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Start it anew and cut off a torn end of its transaction log, as a full disk "
            "leaves one. Copy its folder data before.",
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Start it, and make sure that its database answers; harmless when it already runs."""
    local = local_neo4j(load_settings())
    local.up(console.say, repair=repair)
    _print_status(local, as_json)


def down(as_json: AsJson = False) -> None:
    """Stop it."""
    stopped = local_neo4j(load_settings()).down()
    if as_json:
        console.print_json({"stopped": stopped})
    else:
        console.say("stopped" if stopped else "it was not running")


def status(as_json: AsJson = False) -> None:
    """Whether it runs, where, what its database says, and where its password is kept."""
    _print_status(local_neo4j(load_settings()), as_json)


def _print_status(local: LocalNeo4j, as_json: bool) -> None:
    status = dataclasses.asdict(local.status())
    status["database"] = local.database() if status["running"] else None
    status["home"], status["password_file"] = str(status["home"]), str(status["password_file"])
    if not as_json:
        status["pid"] = str(status["pid"] or "")  # a number would be printed with commas
    print_document(status, "Neo4j on this machine", as_json=as_json)
