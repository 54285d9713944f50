"""extract → fit → evaluate → write back → gate → activate, under a lease.

The weights of the blend are learned on interactions held out from a sample of users, by models
that have not seen them. Then the same models are fitted on everything and written into the free
slots; one transaction makes the new versions active.

The result of each step is kept until the end, so the next refresh can resume an interrupted one.
The graph itself tells what has been written to it: the status of a version says how far it got.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from loaders import writeback
from loaders.catalogue import catalogue
from loaders.errors import CatalogueError, LeaseLostError, LoaderError, Neo4jAwayError
from loaders.extract import ItemDetails, extract_details, extract_graph
from loaders.foreign_graph import require_form
from loaders.gateway import Gateway
from loaders.types import Edges, EmbeddingTable, HeteroGraph, Interactions
from recsvc.blend.fit import fit_whole
from recsvc.blend.hold_out import held_out_mask, split_by
from recsvc.blend.learn import learn
from recsvc.blend.parts import Fitted, Learned, Validated, Vectors
from recsvc.blend.reliance import Reliance
from recsvc.content.describe import Describing
from recsvc.content.options import ContentSource
from recsvc.errors import RecsvcError, RefreshError
from recsvc.evaluation.groups import UserGroup
from recsvc.evaluation.metrics import Estimate
from recsvc.event_kinds import unknown_kinds
from recsvc.evidence import evidence_matrix
from recsvc.models import MODELS, check_device
from recsvc.models.parts import not_linear
from recsvc.refresh.candidate import Basis, Candidate, Extracted, snapshot_of
from recsvc.refresh.expected_time import in_words
from recsvc.refresh.fine_tuning import chosen_start, leave_state
from recsvc.refresh.gate import below_popularity
from recsvc.refresh.judge import judge, refusal
from recsvc.refresh.learning import parts_of, require_memory, resolved_options, same_rows
from recsvc.refresh.lease import LEASE_SECONDS, held_lease
from recsvc.refresh.log_comparison import OutcomeLog
from recsvc.refresh.metapath_queries import refuse_undeclared
from recsvc.refresh.options import CONTENT, HYBRID, RefreshOptions, wanted_properties
from recsvc.refresh.parts import Progress, Run
from recsvc.refresh.path_check import (
    REFRESH_LIMIT_SECONDS,
    REFRESH_SAMPLES,
    Sampled,
    sample_faults,
)
from recsvc.refresh.run_journal import RUN_NAME, new_name, opened_run
from recsvc.refresh.run_manifest import RunIdentity, RunManifest
from recsvc.refresh.trial_basis import keep_basis
from recsvc.run_environment import environment
from recsvc.settings import EventSettings
from recsvc.signals.metapath import metapath_kinds, of_all_kinds
from recsvc.signals.neighbours import nearest_items
from recsvc.snapshot.arrays import pack
from recsvc.snapshot.deletion import finish_before_activation, finish_deletions

KEPT = (
    Extracted,
    HeteroGraph,
    Interactions,
    Edges,
    ItemDetails,
    Fitted,
    Vectors,
    Learned,
    Estimate,
    Validated,
    Reliance,
    UserGroup,
)


def refresh(
    gateway: Gateway,
    options: RefreshOptions,
    events: Mapping[str, EventSettings],
    *,
    home: Path,
    lease_seconds: float = LEASE_SECONDS,
    force: bool = False,
    from_scratch: bool = False,
    name: str | None = None,
    log: OutcomeLog | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> RunManifest:
    """Make a new version of every model with vectors and of the blend, and activate them together.

    Args:
        gateway: the graph.
        options: how.
        events: settings by kind of event.
        home: `RECSVC_HOME`; the run has its folder there.
        lease_seconds: after how long without a sign of life another refresh takes over.
        force: take over at once from a refresh that seems to be running, and activate also what
            the gate objects to.
        from_scratch: learn everything anew, also where it could go on from the active version.
        name: what it is to call its run, see `recsvc.refresh.run_journal.run_of`; without one it
            makes its own.
        log: where what followed answers is, for the gate; None: nothing is estimated from it.
        progress: told what is done.

    Returns:
        What is known of the run.

    Raises:
        RefreshError: another refresh is running, there is too little to learn from, or the folder
            cannot be written.
        GateError: the new versions are not good enough; they have failed.
        LeaseLostError: another refresh took over.
        TrainingError: a model cannot be fitted.
        CatalogueError: a meta-path does not give what it has to.
        ForeignGraphError: the graph is neither in our form nor as it is mapped.
        Neo4jError: the graph cannot be read or written.
    """
    for model in options.models:
        _check_model(model, options)
    check_device(options.device)
    name = name or new_name()
    if RUN_NAME.fullmatch(name) is None:
        raise RefreshError(f"{name!r} is no name of a run: expected one such as {new_name()}")
    identity = RunIdentity(
        options=options.model_dump(mode="json"),
        events={kind: event.model_dump(mode="json") for kind, event in sorted(events.items())},
        packages=environment(options.device)["packages"],
        from_scratch=from_scratch,
    )
    require_form(gateway)  # before anything is written into a graph that is not meant
    refuse_undeclared(gateway)
    with held_lease(gateway, seconds=lease_seconds, force=force, progress=progress) as lease:
        unfinished = writeback.unfinished_runs(gateway)
        try:
            with opened_run(home, identity, unfinished, KEPT, name) as record:
                record.attempt(lease, name)
                run = Run(lease.gateway, options, events, progress, lease, record, log)
                return _concluded(run, force=force, from_scratch=from_scratch)
        except OSError as error:
            raise RefreshError(
                f"{home / 'refreshes'} cannot be used: {error}: when it can, the same command goes "
                "on where this one ended"
            ) from error


def _concluded(run: Run, *, force: bool, from_scratch: bool) -> RunManifest:
    """Refresh, and note how it ended. A run that was cut off stays: the next refresh resumes it."""
    try:
        candidate = _refresh(run, force=force, from_scratch=from_scratch)
    except (KeyboardInterrupt, SystemExit, OSError, Neo4jAwayError) as error:
        with contextlib.suppress(OSError):
            run.record.note(error=_reason(error))
        raise
    except LeaseLostError as error:
        run.record.end("failed", error=_reason(error))
        raise
    except BaseException as error:
        with contextlib.suppress(LoaderError, RecsvcError):
            writeback.fail_run(run.gateway, run.record.name, _reason(error))
            finish_deletions(run.gateway)
        run.record.end("failed", error=_reason(error))
        raise
    manifest = run.record.manifest
    # Without it no meta-path can be tried, and that says so.
    with contextlib.suppress(OSError, LoaderError):
        keep_basis(run, candidate)
    run.record.end(
        "activated", error=None, versions=candidate.numbers, sha256=candidate.sha256,
        overridden=manifest.objections or [],
    )  # fmt: skip
    # Without a state the next refresh begins from scratch, and says so.
    with contextlib.suppress(OSError, LoaderError):
        leave_state(run, candidate)
    return manifest


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def _refresh(run: Run, *, force: bool, from_scratch: bool) -> Candidate:
    hybrid = _begin_run(run)
    candidate = _fit(run, hybrid, _basis(run, from_scratch=from_scratch))
    objections = judge(run, candidate)
    if hybrid.status == "building":
        _write(run, candidate)
    if objections and not force:
        raise refusal(objections, "--force activates it all the same")
    _activate(run, candidate, objections)
    _write_neighbours(run, candidate)
    return candidate


def _begin_run(run: Run) -> writeback.Version:
    """Clear away what others left half written; the version of the blend that this run makes."""
    with run.step("begin"):
        reason = f"left unfinished: the refresh {run.record.name} began after it"
        writeback.drop_unfinished(run.gateway, run.record.name, reason)
        return _begin(run, HYBRID)


def _begin(run: Run, name: str) -> writeback.Version:
    options = run.options
    return writeback.begin_version(
        run.gateway,
        name,
        run=run.record.name,
        seed=options.seed,
        options=options.model_dump(mode="json"),
    )


def _extract(run: Run) -> Extracted:
    run.record.clear()  # what was made from another graph
    at = time.time()
    with run.step("extract"):
        graph = extract_graph(
            run.gateway, run.told, properties=wanted_properties(run.options),
            unread=lambda left: _tell_unread(run, left),
        )  # fmt: skip
        details = extract_details(run.gateway, graph.items, graph.categories)
    return Extracted(_described(run, graph), details, at)


def _described(run: Run, graph: HeteroGraph) -> HeteroGraph:
    """The graph with vectors of what its nodes say of themselves, where a model asks for them."""
    source: Any = None
    if CONTENT in run.options.models:
        source = MODELS[CONTENT].options_of(run.options.options.get(CONTENT, {}))
    if not isinstance(source, ContentSource):
        return graph
    with run.step("encode"):
        home, device = run.record.folder.parent.parent, run.options.device
        return Describing(source, home, device, run.told).from_database(graph, run.gateway)


def _tell_unread(run: Run, left_out: Mapping[str, int]) -> None:
    repeated = {name: n for name, n in left_out.items() if name in ("User", "Item", "Category")}
    unread = {name: count for name, count in left_out.items() if name not in repeated}
    run.record.note(unread_relationships=unread, repeated_nodes=repeated)
    if repeated:
        told = "nodes with the id of another count as one with it: merge them"
        run.record.tell(told, level="warning", **repeated)
    if unread:
        told = "relationships whose weight or event cannot be read are left out"
        run.record.tell(told, level="warning", **unread)


def _basis(run: Run, *, from_scratch: bool) -> Basis:
    """Read the graph; learn what is learned on a part of it, or take what was learned before."""
    extracted = run.record.kept("graph", lambda: _extract(run))
    graph = extracted.graph
    if unknown := unknown_kinds(graph.interactions.events, run.events):
        run.record.note(unknown_kinds=unknown)
        run.record.tell("kinds of events without a weight count nothing", kinds=unknown)
    if (paths := of_all_kinds()) and not set(graph.interactions.events) <= set(run.kinds(graph)):
        run.record.tell("meta-paths that do not take $kinds count every kind of event", paths=paths)
    evidence = evidence_matrix(graph, run.events, now=extracted.at)
    require_memory(run, graph, evidence)
    start = chosen_start(run, graph, evidence, from_scratch=from_scratch)
    tuned = start.state is not None
    expected = in_words(run.options.models, evidence.nnz, sum(evidence.shape), tuned=tuned)
    run.record.note(expected=expected)
    run.record.tell(expected)
    run.told(expected, 1, 1)
    if start.state is not None:
        # The files of meta-paths are those that the refresh from scratch has checked.
        options = {n: MODELS[n].options(**own) for n, own in start.state.options.items()}
        run.record.note(model_options=dict(start.state.options))
        return Basis(extracted, evidence, start, options, start.state.learned)
    _check_paths(run, graph)
    options = resolved_options(run, graph, evidence)
    run.record.note(
        model_options={name: own.model_dump(mode="json") for name, own in options.items()}
    )
    split = split_by(held_out_mask(graph, evidence, run.options, run.options.seed), graph, evidence)
    learned = learn(parts_of(run, graph, options), split)
    return Basis(extracted, evidence, start, options, learned)


def _check_paths(run: Run, graph: HeteroGraph) -> None:
    """Check every meta-path before anything is fitted.

    Raises:
        CatalogueError: a file cannot be run, or does not give what it has to.
    """
    kinds, queries = run.kinds(graph), catalogue()
    names, samples = list(metapath_kinds()), list[Sampled]()
    with run.step("check meta-paths"):
        for name in names:
            samples.append(
                sample_faults(
                    run.gateway, queries, name, kinds, lambda: graph, REFRESH_LIMIT_SECONDS,
                    REFRESH_SAMPLES,
                )
            )  # fmt: skip
            run.told("check meta-paths", len(samples), len(names))
    late = {name: each.late for name, each in zip(names, samples, strict=True) if each.late}
    faults = [fault for sampled in samples for fault in sampled.faults]
    # What a walk declares is made without the text.
    faults += [
        f for name, own in late.items() for f in own if not queries[f"metapaths/{name}"].walk
    ]
    manifest = run.record.manifest
    odd = bool(manifest.unread_relationships or manifest.repeated_nodes)
    if faults and not odd:
        raise CatalogueError(faults)
    # What files give of data that cannot be read is not their fault alone.
    told = [*faults, *(fault for sampled in samples for fault in sampled.left_out)]
    if told:
        run.record.tell("meta-paths give what they should not", level="warning",
                        faults=list(map(str, told)))  # fmt: skip
    if late:
        run.record.tell("meta-paths are not compared with their text", level="warning",
                        late=[str(fault) for own in late.values() for fault in own])  # fmt: skip


def _fit(run: Run, hybrid: writeback.Version, basis: Basis) -> Candidate:
    """Fit on everything, and put together what is served."""
    graph, evidence, learned = basis.graph, basis.evidence, basis.learned
    whole = fit_whole(
        parts_of(run, graph, basis.options, basis.start), graph, evidence, learned.weights,
        learned.epochs, same_rows(basis.start, graph), learned.tables, learned.share,
        learned.reliance, learned.for_new,
    )  # fmt: skip
    blend, fitted = whole.blend, whole.fitted
    with_vectors = [n for n, part in fitted.items() if isinstance(part.kernel, Vectors)]
    versions = {HYBRID: hybrid} | {name: _begin(run, name) for name in with_vectors}
    numbers = {name: version.number for name, version in versions.items()}
    snapshot = snapshot_of(
        graph, basis.extracted.details, evidence, blend, numbers, run.kinds(graph)
    )
    content, sha256 = pack(snapshot)
    known = np.bincount(evidence.indices[evidence.data > 0], minlength=len(graph.items)) > 0
    return Candidate(basis, versions, fitted, blend, known, content, sha256, whole.cut)


def _write(run: Run, candidate: Candidate) -> None:
    """Write vectors and arrays into the new versions, and record what these hold.

    They become ready all at once. From then on an attempt that goes on writes them no more.
    """
    graph, learned = candidate.basis.graph, candidate.basis.learned
    for name, vectors in candidate.vectors.items():
        with run.step("write vectors"):
            for label, ids, rows in (
                ("User", graph.users, vectors.user),
                ("Item", graph.items, vectors.item),
            ):
                table = EmbeddingTable(label, ids, rows)
                writeback.write_vectors(run.gateway, candidate.versions[name], table, run.told)
    with run.step("write snapshot"):
        number = candidate.versions[HYBRID].number
        parts = candidate.content
        writeback.write_snapshot(
            run.gateway, number, parts, lambda done: run.told("write snapshot", done, len(parts))
        )
    epochs = {**{name: part.epochs for name, part in candidate.fitted.items()}, **learned.epochs}
    finished: list[tuple[writeback.Version, Mapping[str, Any]]] = []
    for name, version in candidate.versions.items():
        own = _blend_facts(run, candidate) if name == HYBRID else {"epochs": epochs[name]}
        facts = {
            "metrics": {m: e.mean for m, e in learned.metrics.get(name, {}).items()},
            "weights": learned.weights,
            "start": candidate.basis.start.reason,
            "seconds": sum(run.record.manifest.seconds.values()),
            "graph_at": datetime.fromtimestamp(candidate.basis.extracted.at, UTC),
        }
        finished.append((version, facts | own | candidate.counts))
    writeback.mark_ready(run.gateway, finished)


def _blend_facts(run: Run, candidate: Candidate) -> dict[str, Any]:
    validated = candidate.basis.learned.validated
    return {
        "sha256": candidate.sha256,
        "reliance": asdict(candidate.basis.learned.reliance),
        "kinds": list(run.kinds(candidate.basis.graph)),
        "validation_users": validated.user.tolist(),
        "validation_ndcg": validated.ndcg.tolist(),
        "validation_asked": validated.asked.tolist(),
        "signal_metrics": {
            name: {metric: asdict(estimate) for metric, estimate in estimates.items()}
            for name, estimates in candidate.basis.learned.metrics.items()
        },
        "below_popularity": list(below_popularity(candidate.basis.learned.by_items_known)),
    }


def _activate(run: Run, candidate: Candidate, objections: Sequence[str]) -> None:
    with run.step("activate"):
        # Users deleted since the graph was read are in the arrays that were just stored.
        finish_before_activation(run.gateway, candidate.versions[HYBRID].number)
        writeback.activate(run.gateway, candidate.versions.values(), overridden=objections)


def _write_neighbours(run: Run, candidate: Candidate) -> None:
    """SIMILAR relationships: the nearest items by cosine, for items whose vector is not zero."""
    items = candidate.basis.graph.items
    with run.step("neighbours"):
        for name, vectors in candidate.vectors.items():
            neighbours, scores = nearest_items(
                vectors.item, run.options.similar_items,
                told=lambda done: run.told("neighbours", done, len(items)),
            )  # fmt: skip
            version = candidate.versions[name]
            writeback.write_similar(run.gateway, version, items, neighbours, scores, run.told)


def _check_model(name: str, options: RefreshOptions) -> None:
    if name not in MODELS:
        raise RefreshError(f"no model {name!r}: expected one of {', '.join(MODELS)}")
    if not MODELS[name].linear:
        raise RefreshError(not_linear(name))
    try:
        MODELS[name].options_of(options.options.get(name, {}))
    except ValueError as error:
        raise RefreshError(str(error)) from None
