"""Whether a refresh goes on from the active version, and whether that made it worse.

Models that are trained in epochs go on from what they learned, for a tenth of a fit from scratch.
The weights of the blend, the numbers of epochs and the options that were chosen on the data stay.
All else is computed as in a refresh from scratch, from the graph as it is.
"""

from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders import writeback
from loaders.extract import Selection, extract_graph
from loaders.types import HeteroGraph
from recsvc.blend.hold_out import all_evidence
from recsvc.content.kept_vectors import keep_only
from recsvc.errors import RefreshError
from recsvc.evaluation.metrics import paired_difference
from recsvc.evaluation.splits import entries, hold_out_half, id_numbers
from recsvc.models import TrainingData
from recsvc.refresh.candidate import Basis, Candidate
from recsvc.refresh.comparison import RESAMPLES, K, evaluated, home_of, in_rows_of, stored_arrays
from recsvc.refresh.fine_tuning_state import (
    FineTuningState,
    Start,
    digests_of,
    keep_state,
    read_state,
)
from recsvc.refresh.gate import LEAST_COMMON, Comparison
from recsvc.refresh.learning import fit_model
from recsvc.refresh.parts import Run
from recsvc.refresh.run_journal import newest_manifests, read_manifest
from recsvc.refresh.run_manifest import RunIdentity, RunManifest
from recsvc.signals.metapath import evidence_ids, metapath_digests
from recsvc.snapshot.arrays import Snapshot


def chosen_start(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix, *, from_scratch: bool
) -> Start:
    """What the refresh goes on from, and why, or why it begins from scratch.

    Args:
        run: the refresh.
        graph: nodes and relationships.
        evidence: weights of all users, [users, items].
        from_scratch: whether it was asked to.

    Raises:
        RefreshError: this attempt goes on with a refresh whose start is there no more.
    """
    before: Snapshot | None = None

    def choose() -> dict[str, Any]:
        nonlocal before
        if from_scratch:
            return _scratch("it was asked for")
        chosen = _chosen(run, graph, evidence)
        if chosen["run"] is not None:
            before = stored_arrays(run, chosen["version"], chosen["sha256"])
            if before is None:
                return _scratch(f"the arrays of hybrid {chosen['version']} cannot be read")
        return chosen

    chosen = run.record.kept("start", choose)
    run.record.note(start=chosen["reason"])
    if chosen["run"] is None:
        return Start(chosen["reason"])
    state = read_state(home_of(run), chosen["run"])
    before = before or stored_arrays(run, chosen["version"], chosen["sha256"])
    if state is None or before is None:
        raise RefreshError(
            f"what this refresh went on from, hybrid {chosen['version']}, is there no more: "
            "refresh again"
        )
    state = state.still_there(graph, before)
    return Start(chosen["reason"], state, before, state.learned_from(graph, evidence))


def _scratch(why: str) -> dict[str, Any]:
    return {"run": None, "reason": f"from scratch: {why}"}


def _chosen(run: Run, graph: HeteroGraph, evidence: sp.csr_matrix) -> dict[str, Any]:
    bound = run.options.fine_tune_below
    active = writeback.active_validation(run.gateway)
    if not bound or active is None:
        return _scratch("no version is active" if bound else "fine_tune_below is 0")
    name = f"hybrid {active.version}"
    manifest = read_manifest(home_of(run), active.run)
    state = read_state(home_of(run), active.run)
    if state is None or not state.tables or manifest is None:
        return _scratch(f"{name} left nothing on this machine to go on from")
    if state.learned.unlearned:
        return _scratch(f"the weights of {name} were not learned")
    if _asked(manifest) != _asked(run.record.manifest) or state.paths != metapath_digests():
        return _scratch(f"options, events, packages or meta-paths are others than for {name}")
    if _was_refused(run, name):
        return _scratch(f"a refresh that went on from {name} was refused")
    share = state.changed + changed_share(state, graph, evidence)
    what = f"{share:.2%} of the interactions came or went since the last refresh from scratch"
    if share >= bound:
        return _scratch(f"{what}, fine_tune_below is {bound:.2%}")
    return {
        "run": active.run, "version": active.version, "sha256": active.sha256,
        "reason": f"{_tuned_from(name)}: {what}",
    }  # fmt: skip


def _tuned_from(name: str) -> str:
    return f"fine-tuned from {name}"


def _was_refused(run: Run, name: str) -> bool:
    """Whether the gate objected to a refresh that went on from there: it would again."""
    return any(
        manifest.state == "failed"
        and manifest.objections
        and (manifest.start or "").startswith(f"{_tuned_from(name)}:")
        for manifest in newest_manifests(home_of(run))
    )


def _asked(manifest: RunManifest) -> RunIdentity:
    return manifest.identity.model_copy(update={"from_scratch": False})


def changed_share(state: FineTuningState, graph: HeteroGraph, evidence: sp.csr_matrix) -> float:
    """Pairs of user and item that came or went since a state, as a share of what there was."""
    in_both = int(state.known_pairs(graph, evidence).sum())
    return (evidence.nnz + state.evidence.nnz - 2 * in_both) / max(1, state.evidence.nnz)


def change_by_fine_tuning(run: Run, basis: Basis) -> Comparison:
    """By how much fine-tuning makes NDCG@20 better than the active version's, on what came since.

    Of some users about half of what they did since is held out. The models go on from the active
    version once more, without that part, and take the place of the active ones in its blend; both
    blends then look for it among the items that both know. Neither has seen it. The other signals
    are those of the active version on both sides: they are computed the same way as ever.

    Returns:
        The difference and its 95% interval; none where fewer than 30 users have something that
        can be held out.
    """
    graph, start = basis.graph, basis.start
    state, before = start.state, start.before
    assert state is not None
    assert before is not None
    users, kept, held_out = _new_part(run, state, before, graph, basis.evidence)
    if len(users) < LEAST_COMMON:
        return Comparison(None, f"{len(users)} users did something new, {LEAST_COMMON} are needed")
    data = TrainingData(graph, kept)
    tuned = {
        name: fit_model(
            run, name, data, basis.options[name], "for validation", start=start,
            epochs=state.learned.epochs[name],
        )
        for name in state.tables
    }  # fmt: skip
    with run.step("validate fine-tuning"):
        active = in_rows_of(graph, before)
        signals = [
            tuned[signal.name].signal(signal.name, graph.items) if signal.name in tuned else signal
            for signal in active.signals
        ]
        given = all_evidence(graph, kept, users)
        new_items = before.items.rows(graph.items) < 0
        evaluations = [
            evaluated(blend, given, held_out[users], given["item"], new_items)
            for blend in (replace(active, signals=tuple(signals)), active)
        ]
        change = paired_difference(*evaluations, resamples=RESAMPLES)[f"ndcg@{K}"]
    return Comparison(change, f"on half of what {len(users)} users did since")


def _new_part(
    run: Run, state: FineTuningState, before: Snapshot, graph: HeteroGraph, evidence: sp.csr_matrix
) -> tuple[Int64[NDArray[np.int64], " users"], sp.csr_matrix, sp.csr_matrix]:
    """Users, what is left of everybody's evidence, and what of the new is held out.

    Items that the active version does not know cannot be found by it, so they are not held out.
    """
    known_items = before.items.rows(graph.items) >= 0
    able = ~state.known_pairs(graph, evidence) & known_items[evidence.indices]
    mask = hold_out_half(
        evidence, able, id_numbers(graph.users), id_numbers(graph.items),
        most_users=run.options.validation_users, seed=run.options.seed,
    )  # fmt: skip
    held_out = entries(evidence, mask)
    return np.flatnonzero(np.diff(held_out.indptr)), entries(evidence, ~mask), held_out


def leave_state(run: Run, candidate: Candidate) -> None:
    """Leave what the next refresh can go on from, without what was deleted meanwhile.

    The run has to be noted as activated before: a deletion that finds it so waits for its end, and
    of one that came before, the graph knows.

    Raises:
        OSError: it cannot be written.
        Neo4jError: the graph cannot be read.
    """
    tables = {name: part.tables for name, part in candidate.fitted.items() if part.tables}
    basis = candidate.basis
    graph, evidence, earlier = basis.graph, basis.evidence, basis.start.state
    state = FineTuningState(
        graph.users, graph.items, graph.categories, evidence, tables,
        {name: options.model_dump(mode="json") for name, options in basis.options.items()},
        replace(basis.learned, tables={}),
        digests_of(graph), metapath_digests(),
        earlier.changed + changed_share(earlier, graph, evidence) if earlier else 0.0,
        earlier.in_a_row + 1 if earlier else 0,
    )  # fmt: skip
    there = extract_graph(run.gateway, selection=Selection(types=()))
    now = evidence_ids(there)
    for kind, then in evidence_ids(graph).items():
        if missing := set(then).difference(now[kind]):
            state = state.without(kind, missing)
        keep_only(run.record.folder.parent.parent, kind, now[kind])
    keep_state(run.record.folder, state)
