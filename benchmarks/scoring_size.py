"""Scores and the ten best of half a million items in process, with bounds and without.

    python benchmarks/scoring_size.py [--items 500000] [--users 200]

Five embeddings of 64 numbers and three signals of sparse rows, all with weights that count. The
vectors are made: the first d of 64 directions hold √(d / 64) of their energy, and the longest of a
hundred is 1.65 times as long as the middle one, as measured of lightgcn and node2vec on Last.fm.
Items come in communities, and a user has items of three of them. Both ways answer each user in
turn; the last line says for how many of them the ten best are the same.
"""

import argparse
import os
from time import perf_counter, thread_time

import numpy as np
import scipy.sparse as sp
from _environment import describe
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from loaders.types import IdMap
from recsvc.blend.blend import Blend
from recsvc.blend.ranking import best_items
from recsvc.evidence import Evidence, EvidenceNode
from recsvc.signals import EmbeddingSignal, RowSignal, Signal

EMBEDDINGS, DIMENSIONS = 5, 64
ROWS, ENTRIES = 3, 300
COMMUNITIES = 2_000
K = 10
WARM_UP = 10


def main() -> None:
    """Print the times of both ways."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--items", type=int, default=500_000)
    parser.add_argument("--users", type=int, default=200)
    options = parser.parse_args()
    threadpool_limits(1, user_api="blas")  # as the service does
    print(f"{describe()}; load {os.getloadavg()[0]:.1f}", flush=True)
    rng = np.random.default_rng(0)
    ids = IdMap([f"{n:07}" for n in range(options.items)])
    community = rng.integers(0, COMMUNITIES, options.items)
    users = [made_evidence(rng, ids, community) for _ in range(options.users + WARM_UP)]
    plain = made_blend(rng, ids, community)
    started = perf_counter()
    bounded = plain.with_bounds()
    assert bounded.bounds is not None
    print(f"{options.items:,} items, {EMBEDDINGS} embeddings of {DIMENSIONS}, {ROWS} signals of "
          f"rows of {ENTRIES} entries; bounds made in {perf_counter() - started:.1f} s",
          flush=True)  # fmt: skip
    times: dict[str, list[tuple[float, float]]] = {"every item": [], "bounds": []}
    same = scored = 0
    for number, evidence in enumerate(users):
        allowed = np.ones(options.items, bool)
        allowed[ids.rows(list(evidence.seen))] = False
        found: list[NDArray[np.int64]] = []
        for name, blend in (("every item", plain), ("bounds", bounded)):
            clock, core = perf_counter(), thread_time()
            user = blend.score(evidence)
            found.append(user.best(allowed, K))
            took = (perf_counter() - clock) * 1000, (thread_time() - core) * 1000
            if number >= WARM_UP:
                times[name].append(took)
        near, error = user.near
        least = near[best_items(near, allowed, K)[-1]]
        scored += int((near[allowed] >= least - 2.0 * error).sum())
        same += np.array_equal(found[0], found[1])
    for name, took in times.items():
        (p50, core50), (p99, core99) = np.percentile(took, [50, 99], axis=0)
        print(f"{name}: p50 {p50:.1f} ms ({core50:.1f} on the core), p99 {p99:.1f} ({core99:.1f})",
              flush=True)  # fmt: skip
    print(f"the same {K} best for {same} of {len(users)} users; {scored / len(users):,.0f} items "
          "scored exactly in the mean")  # fmt: skip


def made_blend(rng: np.random.Generator, ids: IdMap, community: NDArray[np.int64]) -> Blend:
    """Vectors and rows of all items."""
    signals: list[Signal] = []
    for number in range(EMBEDDINGS):
        centres = rng.normal(size=(COMMUNITIES, DIMENSIONS)).astype(np.float32)
        target = made_vectors(rng, centres[community])
        source = made_vectors(rng, centres[community])
        signals.append(EmbeddingSignal(f"embedding{number}", ids, source, target))
    members = np.argsort(community, kind="stable")
    start = np.searchsorted(community[members], np.arange(COMMUNITIES + 1))
    signals += [
        RowSignal(f"rows{number}", "item", ids, made_rows(rng, members, start))
        for number in range(ROWS)
    ]
    weights = (*np.linspace(1.0, 0.2, EMBEDDINGS).tolist(), *([0.5] * ROWS))
    prior = (rng.pareto(1.2, len(ids)) + 1.0).astype(np.float32)
    return Blend(tuple(signals), weights, prior / prior.max(), 0.05)


def made_vectors(rng: np.random.Generator, centres: NDArray[np.float32]) -> NDArray[np.float32]:
    """A vector of each item: its community's and its own, in a trained one's spectrum."""
    energy = np.diff(np.sqrt(np.arange(DIMENSIONS + 1) / DIMENSIONS))
    own = rng.normal(size=centres.shape).astype(np.float32)
    length = np.exp(0.215 * rng.normal(size=len(own)))
    shape = np.sqrt(energy).astype(np.float32)
    return ((0.6 * centres + 0.8 * own) * shape * length[:, None]).astype(np.float32)


def made_rows(
    rng: np.random.Generator, members: NDArray[np.int64], start: NDArray[np.int64]
) -> sp.csr_matrix:
    """Entries of each item: half of them in a community, half anywhere."""
    items = len(members)
    group = np.searchsorted(start, np.argsort(members), side="right") - 1
    size = np.diff(start)[group]
    near = members[start[group][:, None] + (rng.random((items, ENTRIES // 2)) * size[:, None])
                   .astype(np.int64)]  # fmt: skip
    column = np.concatenate([near, rng.integers(0, items, near.shape)], axis=1).astype(np.int32)
    value = rng.exponential(size=column.shape).astype(np.float32)
    indptr = np.arange(items + 1) * column.shape[1]
    return sp.csr_matrix((value.ravel(), column.ravel(), indptr), shape=(items, items))


def made_evidence(rng: np.random.Generator, ids: IdMap, community: NDArray[np.int64]) -> Evidence:
    """Items of three communities, 10 to 150."""
    liked = np.flatnonzero(np.isin(community, rng.integers(0, COMMUNITIES, 3)))
    count = int(np.exp(rng.uniform(np.log(10), np.log(150))))
    chosen = rng.permutation(liked)[:count].tolist()
    nodes = tuple(EvidenceNode("item", ids[row], 1.0, "interaction") for row in chosen)
    return Evidence(nodes, frozenset(ids[row] for row in chosen))


if __name__ == "__main__":
    main()
