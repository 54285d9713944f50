"""Meta-paths: checked, and tried without a refresh."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from loaders.catalogue import Catalogue, Query, catalogue, read_query
from loaders.errors import CatalogueError, Fault, LocalNeo4jError, Neo4jUnavailableError
from loaders.gateway import Gateway
from loaders.shared_files import shared_path
from recsvc.commands import console
from recsvc.commands._shared import AsJson
from recsvc.commands.connecting import open_gateway
from recsvc.event_kinds import speaking_kinds
from recsvc.settings import Settings, load_settings
from recsvc.signals.metapath import header_faults

MetapathFile = Annotated[
    Path,
    typer.Argument(
        help="A meta-path; its paths are drawn by the file of the same name in ../explain.",
        exists=True, dir_okay=False,
    ),
]  # fmt: skip


def check(file: MetapathFile, as_json: AsJson = False) -> None:
    """Say all that is wrong with a meta-path, each with file and line.

    Neo4j runs it for a few pieces of evidence. Without one that answers the header alone is
    checked.
    """
    faults, document = _checked(file)
    if as_json:
        told = [{"file": f.file, "line": f.line, "text": f.text} for f in faults]
        console.print_json({"metapath": file.stem, "faults": told, **document})
    else:
        for fault in faults:
            console.print_line(str(fault))
    if faults:
        number = "one fault" if len(faults) == 1 else f"{len(faults)} faults"
        raise CatalogueError(f"{file}: {number}")
    if document["evidence"] is None:
        console.say("no Neo4j answers: the header is right, and nothing else was checked")
    elif not as_json:
        console.say(
            f"nothing is wrong with {document['rows']:,} rows for {len(document['evidence'])} "
            f"evidence nodes, which took {document['seconds']:.2f} s"
        )


def try_(file: MetapathFile, as_json: AsJson = False) -> None:
    """Measure what a meta-path would add to the blend. It changes nothing.

    It is compared with the signals that the last refresh from scratch made for validation.
    """
    from recsvc.refresh.path_trial import try_metapath

    settings = load_settings()
    faults, _ = _checked(file)
    if faults:
        raise CatalogueError(faults)
    with open_gateway(settings) as gateway, console.progress_bars() as bars:
        trial = try_metapath(gateway, settings.home, with_files(file), file.stem, bars)
    if as_json:
        console.print_json(dataclasses.asdict(trial))
        return
    asked = f"{trial.evidence_nodes:,} of {trial.all_evidence_nodes:,}"
    facts = {
        "evidence nodes asked": asked, "of these lead to an item": trial.reaching,
        "rows": trial.rows, "items reached": trial.items,
        "validation users": f"{trial.users:,} of {trial.all_users:,}",
        "λ in the blend": trial.weight, "compared with the refresh": trial.run,
    }  # fmt: skip
    console.print_mapping(trial.metapath, facts)
    rows = [
        (what, *(f"{e.mean:{sign}.4f} ({e.low:{sign}.4f}, {e.high:{sign}.4f})" for e in (
            estimates["recall@20"], estimates["ndcg@20"])))
        for what, sign, estimates in (
            ("alone", "", trial.alone), ("the blend with it", "", trial.with_it),
            ("what it adds", "+", trial.gain),
        )
    ]  # fmt: skip
    console.print_table("on the validation users", ("", "recall@20", "ndcg@20"), rows)
    for example in trial.examples:
        title = f" ({example.title})" if example.title else ""
        console.print_line(f"{example.user_id}: {example.item_id}{title}: {example.path}")


def _checked(file: Path) -> tuple[list[Fault], dict[str, Any]]:
    """All that is wrong, and what the file gave for which evidence: null where it was not run."""
    from loaders.extract import Selection, extract_graph
    from recsvc.refresh.path_check import Sampled, plan_faults, sample_faults

    settings = load_settings()
    queries, faults = _header(file)
    sampled: Sampled | None = None
    try:
        with open_gateway(settings) as gateway, console.progress_bars() as bars:
            in_text = [fault for query in queries for fault in plan_faults(gateway, query)]
            faults += in_text
            if not faults:
                walk = queries[0].walk

                def graph() -> Any:
                    wanted = Selection(types=tuple(walk.types if walk else ()))
                    return extract_graph(gateway, bars, wanted)

                kinds = graph_kinds(gateway, settings)
                sampled = sample_faults(gateway, with_files(file), file.stem, kinds, graph)
                faults = sampled.faults + sampled.left_out + sampled.late
    except (LocalNeo4jError, Neo4jUnavailableError):
        pass
    document = {
        "evidence": sampled and list(sampled.evidence),
        "rows": sampled and sampled.rows,
        "seconds": sampled and sampled.seconds,
    }
    return sorted(set(faults)), document


def _header(file: Path) -> tuple[list[Query], list[Fault]]:
    """The meta-path, and what draws its paths if there is such a file; what is wrong with both."""
    metapath, faults = read_query(file, f"metapaths/{file.stem}")
    drawn: Query | None = None
    if (other := _drawing(file)).is_file():
        drawn, in_other = read_query(other, f"explain/{file.stem}")
        faults += in_other
    return [metapath, *([drawn] if drawn else [])], faults + header_faults(metapath, drawn)


def _drawing(file: Path) -> Path:
    return file.absolute().parent.parent / "explain" / file.name


def with_files(file: Path) -> Catalogue:
    """The project's queries with a meta-path, and what draws its paths, from elsewhere.

    Raises:
        CatalogueError: a file breaks the grammar.
    """
    instead = {f"metapaths/{file.stem}": file}
    if (other := _drawing(file)).is_file():
        instead[f"explain/{file.stem}"] = other
    return Catalogue(shared_path("cypher"), instead)


def graph_kinds(gateway: Gateway, settings: Settings) -> Sequence[str]:
    """The kinds of events that speak for an item, as settings and graph spell them."""
    names = gateway.run(catalogue()["extract/event_kinds"])[0]["kinds"]
    return speaking_kinds(names, settings.events)
