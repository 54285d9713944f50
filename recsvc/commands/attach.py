"""A Neo4j that is not in our form: `recsvc attach`, `recsvc detach`."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from loaders.errors import ForeignGraphError
from loaders.foreign_graph import refuse_own_form
from loaders.gateway import Neo4jGateway
from loaders.graph_survey import survey
from recsvc.commands import console
from recsvc.commands._shared import AsJson, file_to_write
from recsvc.commands.connecting import neo4j_address, open_gateway
from recsvc.graph.mapping_check import MappingCheck, check_mapping
from recsvc.graph.proposal import propose
from recsvc.settings import SETTINGS_FILE, Settings, load_settings
from recsvc.settings_file import graph_tables, write_graph


def attach(
    out: Annotated[
        Path | None,
        typer.Option(
            callback=file_to_write(".toml"),
            metavar="FILE",
            help="Write the mapping there instead of into recsvc.toml.",
        ),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Check the mapping there is; write nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Propose how a graph in another form maps to users, items and what they did."""
    settings = load_settings()
    if check:
        _check(settings, as_json)
        return
    if settings.graph is not None and out is None:
        raise ForeignGraphError(
            f"[graph] is in {SETTINGS_FILE} already: `recsvc attach --check` checks it; take it "
            "out, or name another file with --out"
        )
    bare = dataclasses.replace(neo4j_address(settings), graph=None)
    with Neo4jGateway(bare) as gateway:
        refuse_own_form(gateway)
        proposal = propose(survey(gateway))
    write_graph(proposal.graph, out)
    table = graph_tables(proposal.graph)
    if as_json:
        console.print_json({
            "graph": proposal.graph.model_dump(mode="json", exclude_none=True),
            "reasons": proposal.reasons, "others": proposal.others,
        })  # fmt: skip
        return
    for reason in proposal.reasons:
        console.say(reason)
    for other in proposal.others:
        console.say(f"it might be meant otherwise: {other}")
    console.print_line(table)
    console.say(f"written into {out or SETTINGS_FILE}: see whether it is what you mean, then "
                "`recsvc attach --check`")  # fmt: skip


def _check(settings: Settings, as_json: bool) -> None:
    graph = settings.graph
    if graph is None:
        raise ForeignGraphError(
            f"there is no [graph] in {SETTINGS_FILE}: `recsvc attach` proposes one"
        )
    with open_gateway(settings) as gateway:
        check = check_mapping(gateway, graph)
    if as_json:
        console.print_json(dataclasses.asdict(check))
    else:
        _print_check(check)
    if check.missing:
        raise typer.Exit(1)


def _print_check(check: MappingCheck) -> None:
    console.print_mapping(r"found by \[graph]", {
        name.replace("_", " "): count for name, count in check.found.items()
    })  # fmt: skip
    for line in check.missing:
        console.print_line(f"missing: {line}")
    for line in check.slow:
        console.print_line(f"slow: {line}")


def detach(as_json: AsJson = False) -> None:
    """Remove all that was written into a graph that is mapped; the mapping stays."""
    from loaders.detach import remove_ours

    settings = load_settings()
    with open_gateway(settings) as gateway:
        removed: dict[str, Any] = remove_ours(gateway)
    if as_json:
        console.print_json(removed)
    else:
        console.print_mapping("removed from the graph", removed)
