# pyright: basic
# torch's and implicit's types are partial.
"""LightGCN on a CPU beside PyG's LightGCN and implicit's ALS and BPR, on one split of one graph.

    python benchmarks/lightgcn_peers.py [EDGES] [--minutes 8] [--patience 20] [--only NAME …]

The graph is that of `_made_graph.py`, by default of 500,000 interactions; a fifth of each user's
items is held out. Each model has 64 numbers for a user or an item, all cores, and trains until
`--patience` epochs bring no better NDCG@20 on what is held out, or for `--minutes`, measuring
included: the four take no more than 35 minutes, whatever the size. implicit is needed:
pip install --constraint constraints.txt '.[benchmarks]'.

An epoch is a pass over all interactions. The project's own has its default options. PyG's has BPR,
one uniform negative and 2 layers as in its own example, over a sparse matrix that is normalised
once, which is faster than edges. The size of a step and of a batch of PyG's, the weight of an
interaction and the regularization of ALS, and the size of a step of BPR are the best of a few at
100,000 interactions.
"""

import argparse
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime
from importlib import metadata

import numpy as np
import scipy.sparse as sp
import torch
from _environment import describe
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

with warnings.catch_warnings():
    # PyG compiles with torch.jit.script as it is imported, which this torch calls deprecated.
    warnings.filterwarnings("ignore", message=".*torch.jit")
    from torch_geometric.nn import LightGCN
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking

from benchmarks._learning_curve import Curve, Peer, Trained, learn, lightgcn, split
from benchmarks._made_graph import made_graph
from recsvc.evidence import evidence_matrix
from recsvc.models._propagation import normalised_adjacency
from recsvc.settings import load_settings

DIMENSIONS = 64
LAYERS, BATCH, LEARNING_RATE = 2, 8192, 5e-3
"""Of PyG's model."""
MEASURED_EVERY = 32
"""Batches of PyG's model from one measurement to the next."""


def pyg(train: sp.csr_matrix) -> Iterator[Trained]:
    """PyG's model."""
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    users, items = train.shape
    graph = normalised_adjacency(train)
    adjacency = torch.sparse_csr_tensor(
        torch.from_numpy(graph.indptr), torch.from_numpy(graph.indices),
        torch.from_numpy(graph.data), graph.shape,
    )  # fmt: skip
    model = LightGCN(users + items, DIMENSIONS, LAYERS, normalize=False)
    optimizer = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    pairs = train.tocoo()
    user = torch.from_numpy(pairs.row.astype(np.int64))
    item = torch.from_numpy(pairs.col.astype(np.int64)) + users
    while True:
        order = torch.randperm(len(user), generator=generator)
        for part in order.split(MEASURED_EVERY * BATCH):
            for rows in part.split(BATCH):
                negative = users + torch.randint(items, (len(rows),), generator=generator)
                labels = torch.stack([user[rows].repeat(2), torch.cat([item[rows], negative])])
                ranks = model(adjacency, labels).chunk(2)
                loss = model.recommendation_loss(*ranks, node_id=labels.unique())
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
            with torch.no_grad():
                vectors = model.get_embedding(adjacency).numpy()
            yield _factors(vectors[:users], vectors[users:], len(part))


def als(train: sp.csr_matrix) -> Iterator[Trained]:
    """Implicit's ALS (Hu, Koren, Volinsky 2008), by conjugate gradients."""
    model = AlternatingLeastSquares(
        factors=DIMENSIONS, regularization=10.0, iterations=1, random_state=np.random.default_rng(0)
    )
    yield from _implicit(model, train)


def bpr(train: sp.csr_matrix) -> Iterator[Trained]:
    """Implicit's BPR: matrix factorisation (Rendle et al. 2009)."""
    model = BayesianPersonalizedRanking(
        factors=DIMENSIONS - 1,  # and a bias
        learning_rate=0.01,
        iterations=1,
        random_state=np.random.default_rng(0),
    )
    yield from _implicit(model, train)


def _implicit(model, train: sp.csr_matrix) -> Iterator[Trained]:
    """Trained by epoch: a second fit goes on from the first one's factors."""
    while True:
        with threadpool_limits(1, "blas"):  # implicit has threads of its own, and says so
            model.fit(train, show_progress=False)
        yield _factors(model.user_factors, model.item_factors, train.nnz)


def _factors(users: np.ndarray, items: np.ndarray, examples: int) -> Trained:
    users, items = users.copy(), items.copy()
    return Trained(lambda index, _evidence: users[index] @ items.T, examples)


PEERS = (
    Peer("lightgcn", lightgcn),
    Peer("PyG LightGCN", pyg),
    Peer("implicit ALS", als),
    Peer("implicit BPR", bpr),
)


def main() -> None:
    """Train each, and print the table."""
    warnings.filterwarnings("ignore", message="Sparse")  # of what torch calls a beta
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("edges", type=int, nargs="?", default=500_000)
    parser.add_argument("--minutes", type=float, default=8.0)
    parser.add_argument("--patience", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=[peer.name for peer in PEERS])
    options = parser.parse_args()
    peers = (f"{name} {metadata.version(name)}" for name in ("torch-geometric", "implicit"))
    print(", ".join([describe(), *peers]), flush=True)
    evidence = evidence_matrix(
        made_graph(options.edges), load_settings().events, now=datetime.now(UTC).timestamp()
    )
    train, held_out = split(evidence)
    print(
        f"{train.shape[0]:,} users, {train.shape[1]:,} items, {train.nnz:,} interactions to learn "
        f"from, {held_out.nnz:,} held out of {np.count_nonzero(np.diff(held_out.indptr)):,} users",
        flush=True,
    )
    curves: dict[str, Curve] = {}
    for peer in PEERS:
        if options.only is None or peer.name in options.only:
            curves[peer.name] = learn(
                peer, train, held_out, patience=options.patience, minutes=options.minutes
            )
            told = " ".join(f"{ndcg:.4f}" for ndcg in curves[peer.name].ndcg)
            print(f"{peer.name}: NDCG@20 after each step {told}", flush=True)
    Console(width=160).print(_table(curves, train.nnz))


def _table(curves: dict[str, Curve], interactions: int) -> Table:
    """Seconds, and in brackets those of all processors; ratios are of processor seconds."""
    table = Table(
        "", "epochs", "s an epoch (cpu)", "ratio", "best NDCG@20", "s to within 1% (cpu)", "ratio"
    )
    rows = {}
    for name, curve in curves.items():
        spent = curve.seconds, curve.cpu_seconds
        rows[name] = (
            [curve.per_epoch(each, interactions) for each in spent],
            [each[curve.learned] for each in spent],
        )
    first = next(iter(rows.values()))
    for name, (epoch, learned) in rows.items():
        curve = curves[name]
        table.add_row(
            name,
            f"{curve.examples[-1] / interactions:.1f}",
            f"{epoch[0]:.2g} ({epoch[1]:.2g})",
            f"{epoch[1] / first[0][1]:.2g}",
            f"{curve.best:.4f}",
            f"{learned[0]:.3g} ({learned[1]:.2g})",
            f"{learned[1] / first[1][1]:.2g}",
        )
    return table


if __name__ == "__main__":
    main()
