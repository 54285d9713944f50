"""Scoring all items of Gowalla for one user in process, beside the plain numpy way.

    python benchmarks/scoring.py [--users 2000] [--data DIR]

From evidence to the ten best items, and what explaining these ten costs on top, without the paths
that are read from Neo4j. Users have their own items of the published training part; a second group
has 1,000 random items each. The signals have the shapes of a served blend: two embeddings of random
vectors, and real sparse rows (walks of three steps, cut to 200 entries in the place of PageRank and
to 500, and nearest items, 200 entries, in the place of a meta-path). Times do not depend on how
good vectors are. Both ways answer each user in turn, each of them first for every other user.

On a busy machine the slowest wall times are those of waiting for a core: the time on the core is
printed beside them.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from time import perf_counter, thread_time
from typing import Any

import numpy as np
from _environment import describe
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from benchmarks._accuracy_data import DATA, read_split
from loaders.types import IdMap
from recsvc.answer import NodeRef
from recsvc.blend.blend import Blend
from recsvc.blend.ranking import best_items
from recsvc.evidence import Evidence, EvidenceNode, EvidenceRows
from recsvc.explain.contributions import contributions, take_apart
from recsvc.explain.sentence import sentences
from recsvc.models import MODELS, FitRun, TrainingData
from recsvc.phrases import TextSettings
from recsvc.signals import EmbeddingSignal, RowSignal
from recsvc.signals.popularity import popularity_prior
from recsvc.signals.rows import truncate_rows
from recsvc.training.experiment import TrialData

K = 10
LISTED = 50
DIMENSIONS = 64
HEAVY_USERS = 200
HEAVY_ITEMS = 1000
WARM_UP = 50

Best = Int64[NDArray[np.int64], " k"]
Times = Float64[NDArray[np.float64], "runs clocks"]


def main() -> None:
    """Print the times of both groups of users."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("--data", type=Path, default=DATA)
    options = parser.parse_args()
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    print(f"{describe()}; load {os.getloadavg()[0]:.1f}, OMP_NUM_THREADS {threads}", flush=True)
    data = read_split("gowalla", options.data, seed=0)[1]
    blend = made_blend(data)
    print(f"{len(data.graph.items):,} items; {_listed(blend)}; ms on the clock (on the core)")
    own = own_evidence(data, options.users)
    compare(blend, f"{len(own):,} users with their own items", own)
    heavy = heavy_evidence(data.graph.items)
    compare(blend, f"{len(heavy):,} users with {HEAVY_ITEMS:,} items", heavy)


def made_blend(data: TrialData) -> Blend:
    """Signals of the shapes that are served."""
    items = data.graph.items
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(4, len(items), DIMENSIONS)).astype(np.float32)
    walks, nearest = (_rows(data, name, n) for name, n in (("walk3", 500), ("itemknn", 200)))
    short = truncate_rows(walks.rows, 200)[0]
    signals = (
        EmbeddingSignal("lightgcn", items, vectors[0], vectors[1]),
        EmbeddingSignal("node2vec", items, vectors[2], vectors[3]),
        RowSignal("pagerank", "item", items, short),
        RowSignal("item_user_item", "item", items, nearest.rows),
        walks,
    )
    return Blend(signals, (1.0, 0.25, 0.7, 0.5, 1.4), popularity_prior(data.evidence), 0.05)


def _rows(data: TrialData, name: str, neighbours: int) -> RowSignal:
    spec = MODELS[name]
    training = TrainingData(data.graph, data.evidence)
    model, _ = spec.fit(training, spec.options(**{"neighbours": neighbours}), FitRun(seed=0))
    signal = model.signal(data.graph.items)
    assert isinstance(signal, RowSignal)
    return signal


def _listed(blend: Blend) -> str:
    return ", ".join(
        f"{s.name} {s.rows.nnz:,} entries" if isinstance(s, RowSignal) else f"{s.name} {DIMENSIONS}"
        for s in blend.signals
    )


def own_evidence(data: TrialData, count: int) -> list[Evidence]:
    """What some users did in the training part."""
    users = np.random.default_rng(1).permutation(data.evidence.shape[0])[:count]
    counts = np.diff(data.evidence.indptr)[users]
    print(f"items of a user: median {np.median(counts):.0f}, at most {counts.max()}")
    return [evidence_of(data.graph.items, data.evidence[user].indices) for user in users.tolist()]


def heavy_evidence(items: IdMap) -> list[Evidence]:
    """Users with many random items."""
    generator = np.random.default_rng(2)
    return [
        evidence_of(items, generator.choice(len(items), HEAVY_ITEMS, replace=False))
        for _ in range(HEAVY_USERS)
    ]


def evidence_of(items: IdMap, rows: NDArray[np.integer]) -> Evidence:
    """One interaction with each of some items."""
    ids = [items[row] for row in rows.tolist()]
    nodes = tuple(EvidenceNode("item", each, 1.0, "interaction") for each in ids)
    return Evidence(nodes, frozenset(ids))


def compare(blend: Blend, name: str, users: Sequence[Evidence]) -> None:
    """Print what both ways and the explanations take."""
    ways = (plain_way, served_way)
    for evidence in users[:WARM_UP]:
        for way in ways:
            way(blend, evidence)
        timed_explanation(blend, evidence)
    times = {way: np.empty((len(users), 2)) for way in ways}
    same = 0
    for number, evidence in enumerate(users):
        found = {}
        for way in ways if number % 2 else reversed(ways):
            times[way][number], found[way] = timed(partial(way, blend, evidence))
        same += np.array_equal(*found.values())
    explained = np.array([timed_explanation(blend, evidence) for evidence in users])
    print(f"{name}, the same {K} best for {same / len(users):.1%} of them")
    plain, served = (times[way] for way in ways)
    for what, each in (("plain", plain), ("served", served), ("explanations", explained)):
        print(f"  {what:13}{_percentiles(each)}", flush=True)
    ratios = [_ratio(plain, served, percent) for percent in (50, 99)]
    print(f"  plain / served: p50 {ratios[0]}, p99 {ratios[1]}", flush=True)


def served_way(blend: Blend, evidence: Evidence) -> Best:
    """What the service does."""
    return best_items(blend.score(evidence).scores, allowed(blend, evidence), K)


def plain_way(blend: Blend, evidence: Evidence) -> Best:
    """The same written down in plain numpy."""
    scores = blend.base_weight * blend.prior
    for signal, weight in zip(blend.signals, blend.weights, strict=True):
        rows = evidence.rows(signal.kind, signal.ids)
        assert isinstance(signal, EmbeddingSignal | RowSignal)
        raw = plain_scores(signal, rows)
        rms = np.sqrt(np.mean(np.square(raw, dtype=np.float64)))
        scores = scores + np.float32(weight / rms) * raw
    rows = np.flatnonzero(allowed(blend, evidence))
    least = np.partition(scores[rows], len(rows) - K)[len(rows) - K]
    rows = rows[scores[rows] >= least]
    return rows[np.lexsort((rows, -scores[rows]))][:K]


def plain_scores(
    signal: EmbeddingSignal | RowSignal, evidence: EvidenceRows
) -> Float32[NDArray[np.float32], " items"]:
    """One product with all vectors, or one count of all entries."""
    if isinstance(signal, EmbeddingSignal):
        profile = evidence.weight.astype(np.float32) @ signal.source[evidence.row]
        return np.asarray(signal.target @ profile, np.float32)
    start, end = (signal.rows.indptr[evidence.row + side].astype(np.int64) for side in (0, 1))
    length = end - start
    shift = start - (np.cumsum(length) - length)
    entry = np.arange(length.sum()) + np.repeat(shift, length)
    value = np.repeat(evidence.weight, length) * signal.rows.data[entry]
    columns = signal.rows.indices[entry]
    return np.bincount(columns, value, minlength=signal.rows.shape[1]).astype(np.float32)


def allowed(blend: Blend, evidence: Evidence) -> Bool[NDArray[np.bool_], " items"]:
    """All items but those that were seen."""
    ids = blend.signals[0].ids
    may = np.ones(len(ids), bool)
    may[ids.rows(list(evidence.seen))] = False
    return may


def timed_explanation(blend: Blend, evidence: Evidence) -> tuple[float, float]:
    """Time of everything an explained answer has over an unexplained one, but for paths."""
    scored = blend.score(evidence)
    best = best_items(scored.scores, allowed(blend, evidence), K)
    nodes = tuple(NodeRef(node.kind, node.id, node.id) for node in evidence.nodes)
    text = TextSettings()

    def explain() -> None:
        exact = take_apart(blend, scored, best).with_terms(blend, scored)
        for column in range(len(best)):
            contributions(exact, column, nodes, limit=LISTED)
        sentences(exact, evidence, nodes, text)

    return timed(explain)[0]


def timed(work: Callable[[], Any]) -> tuple[tuple[float, float], Any]:
    """Milliseconds on the clock and on the core, and what came out."""
    clock, core = perf_counter(), thread_time()
    result = work()
    return ((perf_counter() - clock) * 1000, (thread_time() - core) * 1000), result


def _percentiles(times: Times) -> str:
    parts = []
    for percent in (50, 99):
        clock, core = np.percentile(times, percent, axis=0)
        parts.append(f"p{percent} {clock:7.2f} ({core:6.2f})")
    return ", ".join(parts)


def _ratio(old: Times, new: Times, percent: int) -> str:
    clock, core = np.percentile(old, percent, axis=0) / np.percentile(new, percent, axis=0)
    return f"{clock:.2f} ({core:.2f})"


if __name__ == "__main__":
    main()
