"""extract → fit → evaluate → write back → gate → activate, under a lease.

The weights of the blend are learned on interactions held out from a sample of users, by models
that have not seen them. Then the same models are fitted on everything and written into the free
slots; one transaction makes the new versions active.

What each step has made is kept until the end, so a refresh that was ended in the middle is gone on
with by the next one. What has been written to the graph is asked of the graph: the status of a
version says how far it got.
"""

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool
from numpy.typing import NDArray

from loaders import writeback
from loaders.errors import LeaseLostError, LoaderError, Neo4jTimeoutError, Neo4jUnavailableError
from loaders.extract import ItemDetails, extract_details, extract_graph
from loaders.gateway import Gateway
from loaders.types import Edges, EmbeddingTable, HeteroGraph, IdMap, Interactions
from recsvc.deletion import finish_deletions
from recsvc.errors import GateError, RecsvcError, RefreshError
from recsvc.evaluation import Estimate
from recsvc.evidence import evidence_matrix
from recsvc.fusion import BASE, Blend
from recsvc.gate import Validated, Verdict, coverage, difference, not_finite, objections
from recsvc.learning import (
    Fitted,
    Learned,
    Progress,
    RefreshOptions,
    Run,
    Vectors,
    fit_model,
    learn,
    not_linear,
    row_signals,
    settled_options,
)
from recsvc.lease import LEASE_SECONDS, held_lease
from recsvc.list_changes import note_lists
from recsvc.models import MODELS, ModelOptions, TrainingData
from recsvc.refresh_page import page_at_end
from recsvc.refresh_run import opened_run
from recsvc.run_folder import environment
from recsvc.settings import EventSettings
from recsvc.signals.embedding import nearest_items
from recsvc.signals.popularity import popularity_prior
from recsvc.snapshot import Snapshot, pack

HYBRID = "hybrid"


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """The graph, and when it was read, in Unix seconds."""

    graph: HeteroGraph
    details: ItemDetails
    at: float


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """What is about to become active.

    Attributes:
        extracted: what it was learned from.
        learned: its weights, and how good it is.
        versions: by model, `hybrid` among them.
        vectors: by model.
        blend: what is served.
        known: the items that somebody did something with.
        content: the packed snapshot.
        sha256: of the snapshot.
        cut: see `RefreshReport`.
    """

    extracted: Extracted
    learned: Learned
    versions: Mapping[str, writeback.Version]
    vectors: Mapping[str, Vectors]
    blend: Blend
    known: Bool[NDArray[np.bool_], " items"]
    content: bytes
    sha256: str
    cut: Mapping[str, float]

    @property
    def numbers(self) -> dict[str, int]:
        """The number of the version, by model."""
        return {name: version.number for name, version in self.versions.items()}

    @property
    def counts(self) -> dict[str, int]:
        """Nodes, relationships, vectors and bytes."""
        graph = self.extracted.graph
        return {
            "users": len(graph.users), "items": len(graph.items),
            "categories": len(graph.categories), "interactions": len(graph.interactions),
            "follows": len(graph.follows),
            "vectors": sum(len(each.user) + len(each.item) for each in self.vectors.values()),
            "snapshot_bytes": len(self.content),
        }  # fmt: skip


_KEPT = (
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
)


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What a refresh did.

    Attributes:
        run: its name, which is that of its folder.
        versions: number of the new active version, by model.
        weights: λ by signal.
        metrics: NDCG@20 and Recall@20 on the validation users: of every signal alone, and of the
            blend as `hybrid`.
        seconds: time of each step.
        counts: nodes, relationships and vectors.
        cut: share of its kernel's weight that was cut off, by model without vectors, and of
            PageRank.
        sha256: of the arrays the blend is served from.
        change: by how much NDCG@20 is above that of the version that was active, for the
            validation users of both; None where there are too few, or none was active.
        overridden: what spoke against the new versions, which were activated by force.
    """

    run: str
    versions: Mapping[str, int]
    weights: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, Estimate]]
    seconds: Mapping[str, float]
    counts: Mapping[str, int]
    cut: Mapping[str, float]
    sha256: str
    change: Estimate | None
    overridden: tuple[str, ...]


def refresh(
    gateway: Gateway,
    options: RefreshOptions,
    events: Mapping[str, EventSettings],
    *,
    home: Path,
    lease_seconds: float = LEASE_SECONDS,
    force: bool = False,
    progress: Progress = lambda _what, _done, _total: None,
) -> RefreshReport:
    """Make a new version of every model with vectors and of the blend, and activate them together.

    Args:
        gateway: the graph.
        options: how.
        events: settings by kind of event.
        home: `RECSVC_HOME`; the run has its folder there.
        lease_seconds: after how long without a sign of life another refresh takes over.
        force: take over at once from a refresh that seems to be running, and activate also what
            the gate objects to.
        progress: told what is done.

    Raises:
        RefreshError: another refresh is running, there is too little to learn from, or the folder
            cannot be written.
        GateError: the new versions are not good enough; they have failed.
        LeaseLostError: another refresh took over.
        TrainingError: a model cannot be fitted.
        Neo4jError: the graph cannot be read or written.
    """
    for name in options.models:
        _check_model(name)
    identity = {
        "options": options.model_dump(mode="json"),
        "events": {name: event.model_dump() for name, event in sorted(events.items())},
        "packages": environment(options.device)["packages"],
    }
    with held_lease(gateway, seconds=lease_seconds, force=force, progress=progress) as lease:
        unfinished = writeback.unfinished_runs(gateway)
        try:
            with opened_run(home, identity, unfinished, _KEPT) as record:
                record.attempt(lease)
                run = Run(lease.gateway, options, events, progress, lease, record)
                with page_at_end(record):
                    return _concluded(run, force=force)
        except OSError as error:
            raise RefreshError(
                f"{home / 'refreshes'} cannot be used: {error}: when it can, the same command goes "
                "on where this one ended"
            ) from error


def _concluded(run: Run, *, force: bool) -> RefreshReport:
    """Refresh, and note how it ended. What may end well another time is left to be gone on with."""
    try:
        report = _refresh(run, force=force)
    except (
        KeyboardInterrupt, SystemExit, OSError, Neo4jUnavailableError, Neo4jTimeoutError,
    ) as error:  # fmt: skip
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
    facts = ("versions", "weights", "metrics", "counts", "cut", "sha256", "change", "overridden")
    run.record.end("activated", error=None, **{name: getattr(report, name) for name in facts})
    return report


def _reason(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"[:500]


def _refresh(run: Run, *, force: bool) -> RefreshReport:
    hybrid = _begin_run(run)
    extracted = run.record.kept("graph", lambda: _extract(run))
    evidence = evidence_matrix(extracted.graph, run.events, now=extracted.at)
    options = settled_options(run, extracted.graph, evidence)
    learned = learn(run, extracted.graph, evidence, options)
    candidate = _fit(run, hybrid, extracted, evidence, options, learned)
    verdict = _judge(run, candidate)
    if hybrid.status == "building":
        _write(run, candidate)
    if verdict.objections and not force:
        raise _refusal(verdict.objections, "--force activates it all the same")
    _activate(run, candidate, verdict)
    _write_neighbours(run, candidate)
    return RefreshReport(
        run.record.name, candidate.numbers, learned.weights, learned.metrics, run.record.seconds,
        candidate.counts, candidate.cut, candidate.sha256, verdict.change, verdict.objections,
    )  # fmt: skip


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
        graph = extract_graph(run.gateway, run.told)
        details = extract_details(run.gateway, graph.items, graph.categories)
    return Extracted(graph, details, at)


def _fit(
    run: Run,
    hybrid: writeback.Version,
    extracted: Extracted,
    evidence: sp.csr_matrix,
    options: Mapping[str, ModelOptions],
    learned: Learned,
) -> Candidate:
    """Fit on everything, and put together what is served."""
    graph, data = extracted.graph, TrainingData(extracted.graph, evidence)
    fitted = {
        name: fit_model(run, name, data, options[name], epochs=learned.epochs[name] or None)
        for name in run.options.models
    }
    of_rows, cut = row_signals(run, graph, evidence)
    signals = [*(each.signal(name, graph.items) for name, each in fitted.items()), *of_rows]
    blend = Blend(
        tuple(signals),
        tuple(learned.weights[signal.name] for signal in signals),
        popularity_prior(evidence),
        learned.weights[BASE],
    )
    vectors = {n: each.kernel for n, each in fitted.items() if isinstance(each.kernel, Vectors)}
    versions = {HYBRID: hybrid} | {name: _begin(run, name) for name in vectors}
    numbers = {name: version.number for name, version in versions.items()}
    content, sha256 = pack(_snapshot(graph, extracted.details, blend, numbers))
    cut = cut | {name: each.cut for name, each in fitted.items() if name not in vectors}
    known = np.bincount(evidence.indices[evidence.data > 0], minlength=len(graph.items)) > 0
    return Candidate(extracted, learned, versions, vectors, blend, known, content, sha256, cut)


def _judge(run: Run, candidate: Candidate) -> Verdict:
    """What speaks against the new versions; nothing where an earlier attempt activated them.

    Raises:
        GateError: they hold what cannot be stored.
    """
    if candidate.versions[HYBRID].status == "active":
        return Verdict()
    signals, least = candidate.blend.signals, run.options.least_coverage
    with run.step("gate"):
        active = writeback.active_blend(run.gateway)
        run.record.note(compared_with=active, **_gate_facts(candidate))
        if broken := not_finite(signals):
            run.record.note(objections=broken)
            raise _refusal(broken, "it cannot be stored, --force or not")
        change = _change(run, candidate.learned.validated)
        found = objections(signals, candidate.known, change, least_coverage=least)
        run.record.note(objections=found, change=change)
    _note_lists(run, candidate, active)
    return Verdict(change, found)


def _gate_facts(candidate: Candidate) -> dict[str, Any]:
    """What the run's manifest tells of versions that may be refused."""
    return {
        "new_versions": candidate.numbers, "metrics": candidate.learned.metrics,
        "weights": candidate.learned.weights, "counts": candidate.counts, "cut": candidate.cut,
        "coverage": coverage(candidate.blend.signals, candidate.known),
    }  # fmt: skip


def _note_lists(run: Run, candidate: Candidate, active: writeback.ActiveBlend | None) -> None:
    graph, details = candidate.extracted.graph, candidate.extracted.details
    served = _snapshot(graph, details, candidate.blend, candidate.numbers)
    note_lists(run, active, served, graph, candidate.extracted.at)


def _change(run: Run, validated: Validated) -> Estimate | None:
    active = writeback.active_validation(run.gateway)
    # With another share held out, another number of items is looked for.
    if active is None or active.options["held_out_share"] != run.options.held_out_share:
        return None
    return difference(validated, Validated(active.users, active.ndcg))


def _refusal(found: Sequence[str], hint: str) -> GateError:
    said = "; ".join(found)
    return GateError(f"the new version is refused: {said}. What was active stays active; {hint}")


def _snapshot(
    graph: HeteroGraph, details: ItemDetails, blend: Blend, versions: Mapping[str, int]
) -> Snapshot:
    by_user = any(signal.kind == "user" for signal in blend.signals)
    counts = np.bincount(graph.interactions.user_index, minlength=len(graph.users))
    return Snapshot(
        versions=versions,
        items=graph.items,
        categories=graph.categories,
        users=graph.users if by_user else IdMap(()),
        user_counts=counts if by_user else counts[:0],
        titles=details.titles,
        available=np.array(details.available, bool),
        in_category=graph.in_category.matrix(
            len(graph.items), len(graph.categories), weighted=False
        ),
        blend=blend,
        event=_only_event(graph),
    )


def _only_event(graph: HeteroGraph) -> str | None:
    """The kind of event that all interactions have; None where there are several."""
    kinds = np.unique(graph.interactions.event_index).tolist()
    return graph.interactions.events[kinds[0]] if len(kinds) == 1 else None


def _write(run: Run, candidate: Candidate) -> None:
    """Write vectors and arrays into the new versions, and record what these hold.

    They become ready all at once. From then on an attempt that goes on writes them no more.
    """
    graph, learned = candidate.extracted.graph, candidate.learned
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
        writeback.write_snapshot(run.gateway, number, candidate.content)
    finished: list[tuple[writeback.Version, Mapping[str, Any]]] = []
    for name, version in candidate.versions.items():
        own = _blend_facts(candidate) if name == HYBRID else {"epochs": learned.epochs[name]}
        known = {
            "metrics": {m: e.mean for m, e in learned.metrics[name].items()},
            "weights": learned.weights,
            "seconds": sum(run.record.seconds.values()),
            "graph_at": datetime.fromtimestamp(candidate.extracted.at, UTC),
        }
        finished.append((version, known | own | candidate.counts))
    writeback.mark_ready(run.gateway, finished)


def _blend_facts(candidate: Candidate) -> dict[str, Any]:
    validated = candidate.learned.validated
    return {
        "sha256": candidate.sha256,
        "validation_users": validated.user.tolist(),
        "validation_ndcg": validated.ndcg.tolist(),
        "signal_metrics": {
            name: {metric: asdict(estimate) for metric, estimate in found.items()}
            for name, found in candidate.learned.metrics.items()
        },
    }


def _activate(run: Run, candidate: Candidate, verdict: Verdict) -> None:
    with run.step("activate"):
        # Whoever was deleted since the graph was read is in the arrays that were just stored.
        finish_deletions(run.gateway)
        writeback.activate(run.gateway, candidate.versions.values(), overridden=verdict.objections)


def _write_neighbours(run: Run, candidate: Candidate) -> None:
    """SIMILAR relationships: the nearest items by cosine, for items whose vector is not zero."""
    items = candidate.extracted.graph.items
    with run.step("neighbours"):
        for name, vectors in candidate.vectors.items():
            neighbours, scores = nearest_items(vectors.item, run.options.similar_items)
            version = candidate.versions[name]
            writeback.write_similar(run.gateway, version, items, neighbours, scores, run.told)


def _check_model(name: str) -> None:
    if name not in MODELS:
        raise RefreshError(f"no model {name!r}: expected one of {', '.join(MODELS)}")
    if not MODELS[name].linear:
        raise RefreshError(not_linear(name))
