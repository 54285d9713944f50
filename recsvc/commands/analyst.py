"""For analysts: `recsvc analyst …`."""

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from loaders.errors import LocalNeo4jError
from loaders.files import write_bytes
from loaders.local_neo4j import LocalNeo4j, accounts_changed, copy_graph, forget_data
from recsvc.analyst.kit import install as write_kit
from recsvc.commands import console
from recsvc.commands._shared import AsJson, print_document
from recsvc.commands.connecting import analyst_folder, analyst_neo4j, local_neo4j, mapped_graph
from recsvc.refresh.places import COPY_FILE
from recsvc.settings import load_settings

_SHOWN = ("running", "uri", "browser_url", "password_file", "version")


def install(
    out: Annotated[
        Path | None, typer.Option(help="Folder to write to; RECSVC_HOME/analyst without it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write the guide, style, saved queries and notebook, and say how to use them."""
    settings = load_settings()
    written = write_kit(out or analyst_folder(settings), settings.events, port=settings.port,
                        graph=mapped_graph(settings))  # fmt: skip
    if as_json:
        console.print_json(written)
        return
    for name, told in written.items():
        console.print_line(f"{name}: {told['use']}")


def up(as_json: AsJson = False) -> None:
    """Start a read-only copy of the local Neo4j; where it runs already, say so.

    The local one is stopped while it is dumped, and started again.
    """
    settings = load_settings()
    if settings.neo4j_uri is not None:
        raise LocalNeo4jError(
            f"RECSVC_NEO4J_URI is set ({settings.neo4j_uri}), and only the Neo4j on this machine "
            "can be copied: docs/analysts.md says how to copy yours"
        )
    server, folder = analyst_neo4j(settings), analyst_folder(settings)
    if server.status().running and accounts_changed(server):
        console.say("its accounts were changed: it is made anew")
        server.down()
    if not server.status().running:
        made = copy_graph(local_neo4j(settings), server, console.say)
        told = dataclasses.asdict(made) | {"copied_at": datetime.now(UTC).isoformat()}
        write_bytes(folder / COPY_FILE, json.dumps(told).encode())
    server.up(console.say)
    print_document(_state(server, folder), "Neo4j for analysts", as_json=as_json)


def down(as_json: AsJson = False) -> None:
    """Stop that copy and remove it; the next `up` makes another one."""
    server = analyst_neo4j(load_settings())
    stopped = server.down()
    forget_data(server)
    if as_json:
        console.print_json({"stopped": stopped})
    else:
        console.say("stopped" if stopped else "it was not running")


def _state(server: LocalNeo4j, folder: Path) -> dict[str, Any]:
    status = dataclasses.asdict(server.status())
    made: dict[str, Any] = json.loads((folder / COPY_FILE).read_text(encoding="utf-8"))
    return (
        {name: status[name] for name in _SHOWN}
        | {"password_file": str(status["password_file"])}
        | made
    )
