"""Seconds and memory of the rows of PageRank and of each declared walk on a made graph.

    python benchmarks/rows.py [INTERACTIONS]

A small graph goes first, so that nothing is compiled within what is measured. Processor time is
that of all threads. Memory is the most that the process had so far, beside the graph.
"""

import resource
import sys
import time

import numpy as np
import scipy.sparse as sp
from _environment import describe

from benchmarks._made_graph import made_graph
from loaders.catalogue import catalogue
from loaders.types import HeteroGraph
from recsvc.blend.options import BlendOptions
from recsvc.signals.pagerank import pagerank_rows
from recsvc.signals.walk import walk_rows

_OPTIONS = BlendOptions()


def main() -> None:
    """A line for each signal."""
    print(describe(), flush=True)
    for name in _signals():
        _rows(made_graph(10_000), name)
    graph = made_graph(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    before = _peak()
    print(
        f"{len(graph.interactions.user_index):,} interactions, {len(graph.users):,} users, "
        f"{len(graph.items):,} items; {before:.0f} MiB",
        flush=True,
    )
    for name in _signals():
        began, worked = time.perf_counter(), time.process_time()
        rows = _rows(graph, name)
        print(
            f"{name.removeprefix('metapaths/'):20s} {time.perf_counter() - began:6.1f} s, "
            f"processors {time.process_time() - worked:6.1f} s, {_peak() - before:5.0f} MiB, "
            f"{rows.nnz:,} entries",
            flush=True,
        )


def _signals() -> list[str]:
    declared = [query.name for query in catalogue().folder("metapaths") if query.walk is not None]
    return ["pagerank", *declared]


def _rows(graph: HeteroGraph, name: str) -> sp.csr_matrix:
    did, size = graph.interactions, _OPTIONS.row_size
    if name != "pagerank":
        walk = catalogue()[name].walk
        assert walk is not None
        return walk_rows(walk, graph, did.events, size)
    shape = (len(graph.users), len(graph.items))
    ones = np.ones(len(did.user_index), np.float32)
    evidence = sp.csr_matrix((ones, (did.user_index, did.item_index)), shape=shape)
    return pagerank_rows(
        graph, evidence, damping=_OPTIONS.damping, epsilon=_OPTIONS.pagerank_epsilon, size=size
    )[0]


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
