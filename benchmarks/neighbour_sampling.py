"""Relationships drawn a second for a step of two layers, by our sampler and by what else there is.

    python benchmarks/neighbour_sampling.py [INTERACTIONS]

On a made graph, for 2,048 users at a time: 10 items of each, and 10 users of each of these items.
PyG's own samplers need pyg-lib or torch-sparse, neither of which is on PyPI; without them it has
`k_hop_subgraph`, which takes all neighbours and looks at all relationships for each layer. The
other way in torch alone draws with repetition, at random places of each node's neighbours.
"""

import sys
import time
from collections.abc import Callable

import numpy as np
import scipy.sparse as sp
import torch
from _environment import describe
from torch_geometric.utils import k_hop_subgraph

from benchmarks._made_graph import made_graph
from recsvc.models._neighbours import Links, sample_neighbours

NODES, MOST, LAYERS = 2048, 10, 2
SECONDS = 5.0


def main() -> None:
    """A line for each way."""
    print(describe(), f"{torch.get_num_threads()} threads of torch", flush=True)
    links = _links(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000)
    nodes = len(links.begin) - 1
    print(f"{nodes:,} nodes, {len(links.neighbour):,} relationships", flush=True)
    ways: dict[str, Callable[[np.ndarray, int], int]] = {
        "compiled, without repetition": lambda asked, seed: _ours(links, asked, seed),
        "torch, with repetition": _in_torch(links),
        "PyG k_hop_subgraph, all neighbours": _in_pyg(links),
    }
    for name, draw in ways.items():
        drawn, steps, seconds = _measured(draw, nodes)
        print(
            f"{name:36s} {drawn / seconds:14,.0f} relationships/s, {1e3 * seconds / steps:9.1f} ms "
            f"and {drawn / steps:11,.0f} a step",
            flush=True,
        )


def _measured(draw: Callable[[np.ndarray, int], int], nodes: int) -> tuple[int, int, float]:
    """Relationships, steps and seconds; the first step compiles."""
    generator = np.random.default_rng(0)
    draw(generator.choice(nodes, 10), 0)
    drawn, steps, began = 0, 0, time.perf_counter()
    while (seconds := time.perf_counter() - began) < SECONDS:
        drawn += draw(np.sort(generator.choice(nodes, NODES, replace=False)), steps)
        steps += 1
    return drawn, steps, seconds


def _links(interactions: int) -> Links:
    did = made_graph(interactions).interactions
    users, items = did.user_index.max() + 1, did.item_index.max() + 1
    ones = np.ones(len(did), np.float32)
    half = sp.csr_matrix((ones, (did.user_index, did.item_index)), shape=(users, items))
    return Links.of_rows(sp.csr_matrix(sp.block_array([[None, half], [half.T, None]])))


def _ours(links: Links, asked: np.ndarray, seed: int) -> int:
    drawn = 0
    for layer in range(LAYERS):
        found = sample_neighbours(links, asked, MOST, seed + layer)
        drawn += len(found.edge)
        asked = np.unique(links.neighbour[found.edge])
    return drawn


def _in_torch(links: Links) -> Callable[[np.ndarray, int], int]:
    begin = torch.from_numpy(links.begin)
    neighbour = torch.from_numpy(links.neighbour)

    def draw(asked: np.ndarray, seed: int) -> int:
        generator, drawn, nodes = torch.Generator().manual_seed(seed), 0, torch.from_numpy(asked)
        for _ in range(LAYERS):
            first, degree = begin[nodes], begin[nodes + 1] - begin[nodes]
            places = torch.rand(len(nodes), MOST, generator=generator) * degree[:, None]
            edge = (first[:, None] + places.long())[degree > 0].flatten()
            drawn += len(edge)
            nodes = torch.unique(neighbour[edge]).long()
        return drawn

    return draw


def _in_pyg(links: Links) -> Callable[[np.ndarray, int], int]:
    count = np.diff(links.begin)
    receiver = torch.from_numpy(np.repeat(np.arange(len(count)), count))
    edges = torch.stack([torch.from_numpy(links.neighbour).long(), receiver])

    def draw(asked: np.ndarray, _seed: int) -> int:
        nodes = torch.from_numpy(asked)
        return k_hop_subgraph(nodes, LAYERS, edges, num_nodes=len(count))[1].shape[1]

    return draw


if __name__ == "__main__":
    main()
