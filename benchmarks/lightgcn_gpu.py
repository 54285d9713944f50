"""LightGCN on a GPU: seconds an epoch and accuracy on Gowalla and on a made graph, in ten minutes.

    python benchmarks/lightgcn_gpu.py [--data DIR] [--edges 5000000]

Gowalla is the split of the LightGCN paper (folder lightgcn-gowalla of the data). The other graph is
that of `_made_graph.py`, a fifth of each user's items held out. Options are the defaults; examples
and negatives are drawn on the GPU. An epoch is a pass over all interactions. Training goes on until
10 epochs bring no better NDCG@20, or for two minutes.
"""

import argparse
import sys
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import scipy.sparse as sp
import torch
from _environment import describe

from benchmarks._accuracy_data import DATA, read_split
from benchmarks._learning_curve import Peer, learn, lightgcn, split
from benchmarks._made_graph import made_graph
from recsvc.evidence import evidence_matrix
from recsvc.settings import load_settings

MINUTES, PATIENCE = 2.0, 10


def main() -> None:
    """Measure both graphs, or say that there is no GPU."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--edges", type=int, default=5_000_000)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no GPU here: lightgcn_peers.py measures a CPU")
    print(f"{torch.cuda.get_device_name()}, {describe()}", flush=True)
    gowalla = read_split("gowalla", options.data, seed=0)[1]
    _measure("Gowalla", gowalla.learned_from.evidence, gowalla.held_out)
    made = made_graph(options.edges)
    evidence = evidence_matrix(made, load_settings().events, now=datetime.now(UTC).timestamp())
    _measure(f"made, {options.edges:,}", *split(evidence))


def _measure(name: str, train: sp.csr_matrix, held_out: sp.csr_matrix) -> None:
    peer = Peer(name, partial(lightgcn, device=torch.device("cuda")))
    curve = learn(peer, train, held_out, patience=PATIENCE, minutes=MINUTES)
    print(
        f"{name}: {train.nnz:,} interactions, "
        f"{curve.per_epoch(curve.seconds, train.nnz):.3f} s an epoch, best NDCG@20 "
        f"{curve.best:.4f}, within 1% of it after {curve.seconds[curve.learned]:.1f} s, "
        f"{torch.cuda.max_memory_allocated() / 2**30:.2f} GiB of the GPU",
        flush=True,
    )


if __name__ == "__main__":
    main()
