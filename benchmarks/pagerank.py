"""Personalized PageRank: how near the rows are to networkx.

    python benchmarks/pagerank.py [lastfm] [gowalla]

Top 20 of items that a user does not have, for 100 users. The vectors of all of them are made by
power iteration, which is compared with networkx for as many users as `--networkx` says: on Gowalla
one call of networkx takes seconds.
"""

import argparse
from collections.abc import Callable
from statistics import median
from time import perf_counter

import networkx as nx
import numpy as np
import scipy.sparse as sp
from _environment import describe
from numpy.typing import NDArray

from benchmarks._accuracy_data import DATA, read_split
from loaders.datasets import open_source
from loaders.tables import graph_from_tables
from loaders.types import HeteroGraph
from recsvc.evidence import evidence_matrix, newest_time
from recsvc.refresh.options import RefreshOptions
from recsvc.settings import load_settings
from recsvc.signals import RowSignal
from recsvc.signals.pagerank import pagerank_rows, transition_matrix

K, USERS, SEED = 20, 100, 0
NETWORKX_USERS = {"lastfm": USERS, "gowalla": 5}
OPTIONS = RefreshOptions()


def main() -> None:
    """Run the data sets that are named, or both."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("datasets", nargs="*", default=list(NETWORKX_USERS))
    parser.add_argument("--networkx", type=int, help="users whose vector networkx makes, too")
    arguments = parser.parse_args()
    print(describe())
    for name in arguments.datasets:
        users = NETWORKX_USERS[name] if arguments.networkx is None else arguments.networkx
        run(name, users)


def run(name: str, networkx_users: int) -> None:
    """Print overlap, error, size and time of the rows."""
    graph, evidence = read(name)
    able = np.flatnonzero(np.diff(evidence.indptr))
    users = np.sort(np.random.default_rng(SEED).choice(able, USERS, replace=False))
    transition = transition_matrix(graph, evidence)
    restarts = np.zeros((USERS, transition.shape[0]))
    restarts[:, len(graph.users) :] = evidence[users].toarray()
    restarts /= restarts.sum(axis=1, keepdims=True)
    items, seen = slice(len(graph.users), None), evidence[users].toarray() != 0.0
    truth, exact_ms = timed(lambda restart: power_iteration(transition, restart), restarts)
    print(f"{name}: {evidence.nnz:,} interactions, {len(graph.follows):,} follows, {USERS} users")
    if networkx_users:
        oracle, _ = timed(peer(transition), restarts[:networkx_users])
        apart = np.abs(oracle - truth[:networkx_users]).max()
        print(f"power iteration and networkx differ by up to {apart:.1e} ({networkx_users} users)")
        truth[:networkx_users] = oracle
    best = top(truth[:, items], seen)
    start = perf_counter()
    rows, missing, cut = pagerank_rows(
        graph, evidence, damping=OPTIONS.damping, epsilon=OPTIONS.pagerank_epsilon,
        size=OPTIONS.row_size,
    )  # fmt: skip
    size = (rows.data.nbytes + rows.indices.nbytes + rows.indptr.nbytes) / 1e6
    print(
        f"rows: {perf_counter() - start:.0f} s, {size:.0f} MB, lacking at most {missing:.4f} "
        f"before {cut:.3f} of all was cut off"
    )
    signal = RowSignal("pagerank", "item", graph.items, rows)
    summed, sum_ms = timed(
        lambda restart: signal.batch_scores(sp.csr_matrix(restart[None, items]))[0], restarts
    )
    print(
        f"row sum: {overlap(top(summed, seen), best)}, {sum_ms:.2f} ms a user, "
        f"power iteration {exact_ms:.1f}"
    )


def read(name: str) -> tuple[HeteroGraph, sp.csr_matrix]:
    """All of Last.fm, or the training part of Gowalla."""
    if name == "gowalla":
        data = read_split(name, DATA, SEED)[1]
        return data.graph, data.evidence
    source = open_source("lastfm", DATA / "hetrec2011-lastfm-2k")
    graph = graph_from_tables(source, lambda _rejected: None)
    return graph, evidence_matrix(graph, load_settings().events, now=newest_time(graph))


def power_iteration(transition: sp.csr_matrix, restart: NDArray[np.float64]) -> NDArray[np.float64]:
    """Until less than 1e-12 can be missing."""
    rank = restart
    for _ in range(int(np.ceil(np.log(1e-12) / np.log(OPTIONS.damping)))):
        rank = OPTIONS.damping * (rank @ transition) + (1.0 - OPTIONS.damping) * restart
    return rank


def peer(transition: sp.csr_matrix) -> Callable[[NDArray[np.float64]], NDArray[np.float64]]:
    """networkx.pagerank on the same links."""
    linked = nx.from_scipy_sparse_array(transition.astype(bool).astype(np.float64))

    def one(restart: NDArray[np.float64]) -> NDArray[np.float64]:
        weights = {int(node): restart[node] for node in np.flatnonzero(restart)}
        rank = nx.pagerank(
            linked, OPTIONS.damping, personalization=weights, tol=1e-16, max_iter=200
        )
        return np.array([rank[node] for node in range(len(restart))])

    return one


def timed(
    make: Callable[[NDArray[np.float64]], NDArray[np.float64]], restarts: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """The vector of each user, and the median milliseconds of one."""
    found, seconds = [], []
    make(restarts[0])  # numba compiles or loads at the first call
    for restart in restarts:
        start = perf_counter()
        found.append(make(restart))
        seconds.append(perf_counter() - start)
    return np.array(found), median(seconds) * 1e3


def top(scores: NDArray[np.float64], seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The best K items of each user that the user does not have."""
    return np.argsort(-np.where(seen, -1.0, scores), axis=1, kind="stable")[:, :K]


def overlap(found: NDArray[np.int64], best: NDArray[np.int64]) -> str:
    """Mean and least share of the best that was found."""
    shares = [len(set(a) & set(b)) / K for a, b in zip(found.tolist(), best.tolist(), strict=True)]
    return f"overlap@{K} {np.mean(shares):.4f}, least {min(shares):.2f}"


if __name__ == "__main__":
    main()
