# pyright: basic
# torch's types are partial, and what a learner draws is recorded from inside of it.
"""LightGCN: steps of training on a CPU, beside PyG's on the same batches.

Both start from the same table and see the same users, items and negatives, so after the same
number of steps they must have the same vectors: equal accuracy is not measured but shown.
"""

import warnings
from collections.abc import Callable, Iterator
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch

with warnings.catch_warnings():
    # PyG compiles with torch.jit.script as it is imported, which this torch calls deprecated.
    warnings.filterwarnings("ignore", message=".*torch.jit")
    from torch_geometric.nn import LightGCN

from benchmarks._accuracy_data import DATA, read_split
from recsvc.models._sampling import Positives
from recsvc.models.lightgcn import LightGCNLearner, LightGCNOptions

CPU = torch.device("cpu")
LEARNING_RATE = 1e-3
WARM_UP = 2


def run(steps: int = 8) -> None:
    """Print seconds of a step and of an epoch, the ratio, and how far the vectors are apart."""
    evidence = read_split("gowalla", DATA, seed=0)[1].evidence
    print(f"Gowalla, {evidence.nnz:,} interactions; batches of 2,048, BPR, one negative each")
    for layers in (1, 2, 3):
        options = LightGCNOptions(
            layers=layers, loss="bpr", negatives="uniform", negative_count=1,
            learning_rate=LEARNING_RATE, steps_per_epoch=1_000_000, batches_per_step=1,
        )  # fmt: skip
        ours = LightGCNLearner(evidence, options, CPU, seed=0)
        start = ours.table.detach().clone()
        our_seconds, batches = _train_ours(ours, steps)
        peer_seconds, peer = _train_peer(evidence, start, layers, batches)
        per_epoch = -(-evidence.nnz // options.batch_size)
        moved = (ours.table.detach() - start).abs().max()
        apart = (ours.table.detach() - peer).abs().max()
        print(
            f"{layers} layers: {our_seconds * 1e3:.0f} ms a step, "
            f"{our_seconds * per_epoch:.0f} s an epoch; PyG {peer_seconds * 1e3:.0f} ms, "
            f"{peer_seconds * per_epoch:.0f} s; ratio {peer_seconds / our_seconds:.1f}. After "
            f"{steps} steps entries of the tables have moved by up to {moved:.1e} and differ by "
            f"up to {apart:.1e}",
            flush=True,
        )


def _train_ours(
    learner: LightGCNLearner, steps: int
) -> tuple[float, list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]]:
    """Median seconds of a step, and the batches it drew: users, items, negatives."""
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    drawn: list[torch.Tensor] = []
    draw = learner._sampler.draw

    def recorded(strategy: str, positives: Positives, count: int) -> torch.Tensor:
        negatives = draw(strategy, positives, count)
        seen.append((positives.user, positives.item))
        drawn.append(negatives[:, 0])
        return negatives

    learner._sampler.draw = recorded
    optimizer = torch.optim.Adam(learner.parameters(), LEARNING_RATE, fused=True)

    def one(losses: Iterator[tuple[torch.Tensor, int]]) -> None:
        loss, _count = next(losses)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    seconds = _median_seconds(one, learner.epoch(), steps)
    return seconds, [(*pair, other) for pair, other in zip(seen, drawn, strict=True)]


def _train_peer(
    evidence: sp.csr_matrix,
    start: torch.Tensor,
    layers: int,
    batches: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]],
) -> tuple[float, torch.Tensor]:
    """Median seconds of a step of PyG, and its table after all batches."""
    users = evidence.shape[0]
    edges = evidence.tocoo()
    forward = np.stack([edges.row, edges.col + users]).astype(np.int64)
    both = torch.from_numpy(np.concatenate([forward, forward[::-1]], axis=1))
    model = LightGCN(sum(evidence.shape), start.shape[1], layers)
    with torch.no_grad():
        model.embedding.weight.copy_(start)
    optimizer = torch.optim.Adam(model.parameters(), LEARNING_RATE)
    # A negative that the user has is none: ours leaves it out, so it is left out here too.
    keys = edges.row.astype(np.int64) * evidence.shape[1] + edges.col
    right = [
        torch.from_numpy(~np.isin(user.numpy() * evidence.shape[1] + other.numpy(), keys))
        for user, _, other in batches
    ]

    def one(rest: Iterator[tuple[tuple[torch.Tensor, ...], torch.Tensor]]) -> None:
        (user, item, other), kept = next(rest)
        pairs = [torch.stack([user, nodes + users])[:, kept] for nodes in (item, other)]
        ranks = model(both, torch.cat(pairs, dim=1))
        positive, negative = ranks.chunk(2)
        loss = -torch.nn.functional.logsigmoid(positive - negative).sum() / len(user)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    steps = zip(batches, right, strict=True)
    return _median_seconds(one, steps, len(batches)), model.embedding.weight.detach()


def _median_seconds(one: Callable[[Any], None], batches: Iterator[Any], steps: int) -> float:
    seconds = []
    for _ in range(steps):
        start = perf_counter()
        one(batches)
        seconds.append(perf_counter() - start)
    return median(seconds[WARM_UP:])
