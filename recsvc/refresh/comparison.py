"""The new version and the active one, asked for the same pairs of today's graph.

What the active version was fitted on is known on the machine that made it. Held-out pairs that
came since are those that neither version has seen: the new signals were made without what is held
out, and the arrays of the active version are older. Where the new signals lack too much besides
that the active version had, they are made once more without these pairs alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Int64
from numpy.typing import NDArray

from loaders import writeback
from loaders.parts import stored_parts
from loaders.types import HeteroGraph, IdMap
from recsvc.blend.blend import BASE, Blend
from recsvc.blend.fit import SplitSignals, split_signals
from recsvc.blend.hold_out import ValidationSplit, all_evidence, held_out_mask, split_by
from recsvc.blend.parts import Learned
from recsvc.errors import SnapshotError
from recsvc.evaluation.metrics import (
    Estimate,
    Evaluation,
    bootstrap,
    evaluate,
    paired_difference,
    top_k,
)
from recsvc.evidence import EvidenceKind, EvidenceMatrices, of_users
from recsvc.models import ModelOptions
from recsvc.refresh.fine_tuning_state import read_state
from recsvc.refresh.gate import LEAST_COMMON, Comparison
from recsvc.refresh.learning import parts_of
from recsvc.refresh.parts import Run
from recsvc.snapshot import arrays as snapshots
from recsvc.snapshot.arrays import Snapshot
from recsvc.snapshot.folders import folder_name

K = 20
"""Length of the lists that are compared."""
RESAMPLES = 2_000
_MAY_LACK = 0.02
"""Share of what the active version was fitted on that the new signals may lack, to be compared."""

_Score = Callable[[Int64[NDArray[np.int64], " n"]], Float32[NDArray[np.float32], "n items"]]


def change_since(
    run: Run,
    graph: HeteroGraph,
    evidence: sp.csr_matrix,
    options: Mapping[str, ModelOptions],
    learned: Learned,
    active: writeback.Validation,
) -> Comparison:
    """By how much the new version finds better what came since the active one was fitted.

    What the active version lacks it cannot list: such an item counts as missed.

    Args:
        run: the refresh.
        graph: nodes and relationships.
        evidence: weights of all users, [users, items].
        options: of each model.
        learned: the new weights.
        active: the active version.

    Returns:
        The difference in NDCG@20; none where fewer than 30 users have something that came since,
        or it is not known what came.
    """
    name = f"hybrid {active.version}"
    state = read_state(home_of(run), active.run)
    if state is None:
        return Comparison(None, f"what {name} was fitted on is not known on this machine")
    mask = held_out_mask(graph, evidence, run.options, run.options.seed)
    seen_before = state.known_pairs(graph, evidence)
    asked = split_by(mask & ~seen_before, graph, evidence)
    if len(asked.users) < LEAST_COMMON:
        said = f"{len(asked.users)} of the validation users have something new held out"
        return Comparison(None, f"{said}, {LEAST_COMMON} are needed")
    before = stored_arrays(run, active.version, active.sha256)
    if before is None:
        return Comparison(None, f"the arrays of {name} cannot be read")
    lacking = np.count_nonzero(mask & seen_before) / max(1, np.count_nonzero(seen_before))
    parts = parts_of(run, graph, options)
    if lacking <= _MAY_LACK:
        signals = split_signals(parts, split_by(mask, graph, evidence))
    else:
        signals = split_signals(parts, asked, learned.epochs, "for the gate")
    with run.step("compare"):
        evaluations = (
            _by_signals(signals, learned, asked),
            _by_arrays(before, signals.split, asked),
        )
        change = paired_difference(*evaluations, resamples=RESAMPLES)[f"ndcg@{K}"]
    return Comparison(change, f"on what {len(asked.users)} users did since, unseen by both")


def change_by_seeing(
    run: Run, graph: HeteroGraph, evidence: sp.csr_matrix, learned: Learned, blend: Blend
) -> Estimate:
    """By how much a blend that has seen the held-out pairs finds them better than one that has not.

    It cannot be worse, unless what is served is broken while what was validated is not.

    Args:
        run: the refresh.
        graph: nodes and relationships.
        evidence: weights of all users, [users, items].
        learned: with the NDCG@20 of the blend that had not seen them.
        blend: what is to be served.
    """
    mask = held_out_mask(graph, evidence, run.options, run.options.seed)
    split = split_by(mask, graph, evidence)
    given = all_evidence(graph, split.kept, split.users)
    nothing = np.zeros(len(graph.items), np.bool_)
    wanted = split.held_out[split.users]
    seeing = evaluated(blend, given, wanted, given["item"], nothing).per_user[f"ndcg@{K}"]
    return bootstrap({"ndcg": seeing - learned.validated.ndcg}, RESAMPLES, 0)["ndcg"]


def _by_signals(signals: SplitSignals, learned: Learned, asked: ValidationSplit) -> Evaluation:
    """How well the new weights and signals find what is asked for."""
    place = np.searchsorted(signals.split.users, asked.users)
    weights = np.array([learned.weights[name] for name in (*signals.kinds, BASE)], np.float32)
    factors = weights[:, None] * signals.relied(learned.reliance)

    def score(rows: Int64[NDArray[np.int64], " n"]) -> Float32[NDArray[np.float32], "n items"]:
        total = np.zeros((len(rows), signals.split.kept.shape[1]), np.float32)
        own = place[rows]
        for factor, scores in zip(factors[:, own], signals.scores(own), strict=True):
            total += factor[:, None] * scores
        return total

    return _ranked(score, asked.held_out[asked.users], asked.kept[asked.users])


def _by_arrays(before: Snapshot, split: ValidationSplit, asked: ValidationSplit) -> Evaluation:
    """How well a stored version finds it, from the same evidence as the new signals."""
    given = all_evidence(split.graph, split.kept, asked.users)
    lacks = before.items.rows(split.graph.items) < 0
    wanted, seen = asked.held_out[asked.users], asked.kept[asked.users]
    return evaluated(in_rows_of(split.graph, before), given, wanted, seen, lacks)


def evaluated(
    blend: Blend,
    given: EvidenceMatrices,
    wanted: sp.csr_matrix,
    seen: sp.csr_matrix,
    left_out: Bool[NDArray[np.bool_], " items"],
) -> Evaluation:
    """How well a blend finds what is wanted.

    Args:
        blend: what is asked.
        given: evidence of n users.
        wanted: what they are to find, [n, items].
        seen: what is not ranked, [n, items].
        left_out: items that the blend cannot list.
    """

    def score(rows: Int64[NDArray[np.int64], " n"]) -> Float32[NDArray[np.float32], "n items"]:
        scores = blend.batch_scores(of_users(given, rows))
        scores[:, left_out] = -np.inf
        return scores

    return _ranked(score, wanted, seen)


def _ranked(score: _Score, wanted: sp.csr_matrix, seen: sp.csr_matrix) -> Evaluation:
    ranking = top_k(lambda rows, _own: score(rows), seen, k=K)
    return evaluate(ranking, wanted, seen, cuts=(K,), resamples=1)


def in_rows_of(graph: HeteroGraph, before: Snapshot) -> Blend:
    """The blend of a stored version with a row for each node of the graph as it is now.

    Args:
        graph: as it is now.
        before: the stored version.
    """
    ids: Mapping[EvidenceKind, IdMap] = {
        "item": graph.items, "user": graph.users, "category": graph.categories,
    }  # fmt: skip
    items = before.items.rows(graph.items)
    prior = np.zeros(len(items), np.float32)
    prior[items >= 0] = before.blend.prior[items[items >= 0]]
    signals = tuple(
        signal.reindexed(ids[signal.kind], signal.ids.rows(ids[signal.kind]), items)
        for signal in before.blend.signals
    )
    return replace(before.blend, signals=signals, prior=prior)


def stored_arrays(run: Run, version: int, sha256: str) -> Snapshot | None:
    """The arrays of a version; None where they are not stored, or were rewritten.

    Those that are served on this machine are on its disk already. They are compared with their
    SHA-256: what is taken from them becomes part of the next version.
    """
    folder = home_of(run) / "snapshots" / folder_name(version, sha256)
    if folder.exists():
        try:
            return snapshots.load(folder, sha256)
        except SnapshotError as error:
            run.record.tell("arrays on disk cannot be used", level="warning", reason=str(error))
    content = stored_parts(run.gateway, version)
    try:
        return snapshots.read(content, sha256)
    except SnapshotError:
        return None


def home_of(run: Run) -> Path:
    """`RECSVC_HOME` of a refresh."""
    return run.record.folder.parent.parent
