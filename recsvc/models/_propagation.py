# pyright: basic
# numba's decorators are untyped, and torch's types are partial.
"""Steps of vectors over a graph, with gradients, for as few nodes as are needed.

A batch needs the last layer at its own nodes alone. Computing that layer for these rows, and its
gradient from these rows, is what makes training fast on a CPU: on Gowalla a batch of 2,048 needs
an eighth of the relationships.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from itertools import pairwise
from typing import Any, NamedTuple, no_type_check

import numba
import numpy as np
import scipy.sparse as sp
import torch
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from recsvc.signals.degrees import degrees, power

_ITERATIONS = 4
_DEVIATION = 0.03
"""Of the numbers in a spectral start: an Adam step of 0.002 moves them little, a hundred much."""


class Graph:
    """A symmetric weighted adjacency, ready to be multiplied with on one device."""

    def __init__(self, adjacency: sp.csr_matrix, device: torch.device) -> None:
        """Copy the matrix, float32 [nodes, nodes], to the device."""
        self.device = device
        if device.type == "cpu":
            self._begin = adjacency.indptr.astype(np.int64)
            self._neighbour = adjacency.indices.astype(np.int32)
            self._weight = adjacency.data.astype(np.float32)
        else:
            begin, neighbour, weight = (
                torch.from_numpy(array)
                for array in (adjacency.indptr, adjacency.indices, adjacency.data)
            )
            self._sparse = torch.sparse_csr_tensor(
                begin, neighbour, weight, adjacency.shape, device=device
            )

    def product(self, x: Float32[Tensor, "nodes dim"]) -> Float32[Tensor, "nodes dim"]:
        """A @ x."""
        if self.device.type != "cpu":
            return self._sparse @ x
        return self.rows(x, torch.arange(len(x)))

    def rows(
        self, x: Float32[Tensor, "nodes dim"], nodes: Int64[Tensor, " n"]
    ) -> Float32[Tensor, "n dim"]:
        """(A @ x)[nodes]."""
        if self.device.type != "cpu":
            return (self._sparse @ x)[nodes]
        row = nodes.numpy()
        result = np.empty((len(row), x.shape[1]), np.float32)
        work = np.concatenate([[0], np.cumsum(self._begin[row + 1] - self._begin[row])])
        arrays = (self._begin, self._neighbour, self._weight, x.detach().numpy())
        _in_threads(lambda part: _gather(*arrays, row, result, *part), _parts(work))
        return torch.from_numpy(result)

    def spread(
        self, values: Float32[Tensor, "n dim"], nodes: Int64[Tensor, " n"]
    ) -> Float32[Tensor, "nodes dim"]:
        """A[:, nodes] @ values, for different nodes of a symmetric A."""
        if self.device.type != "cpu":
            full = values.new_zeros(self._sparse.shape[0], values.shape[1])
            return self._sparse @ full.index_copy_(0, nodes, values)
        place = np.full(len(self._begin) - 1, -1, np.int32)
        place[nodes.numpy()] = np.arange(len(nodes), dtype=np.int32)
        result = np.empty((len(place), values.shape[1]), np.float32)
        arrays = (self._begin, self._neighbour, self._weight, values.detach().numpy())
        _in_threads(lambda part: _spread(*arrays, place, result, *part), _parts(self._begin))
        return torch.from_numpy(result)


class Noise(NamedTuple):
    """Noise in every layer above the first.

    Attributes:
        length: of the noise in each row, ε.
        layer: whose rows are wanted besides.
        generator: where it comes from.
    """

    length: float
    layer: int
    generator: torch.Generator

    def added(self, x: Float32[Tensor, "n dim"]) -> Float32[Tensor, "n dim"]:
        """Give x + ε sign(x) ⊙ r / ‖r‖, r uniform from 0 to 1: each sign stays as it is."""
        draw = torch.rand(x.shape, generator=self.generator, device=x.device)
        return x + self.length * x.sign() * functional.normalize(draw)


class LayerMean(torch.autograd.Function):
    """Rows of Σ_k z^(k) / (L + 1) and of z^(0), where z^(k) = A z^(k-1).

    He et al. 2020, "LightGCN: Simplifying and powering graph convolution network for
    recommendation", eq. 7 and 8. A is symmetric, so gradients go back by the same product.

    With noise, z^(k) = A z^(k-1) + Δ^(k), and the rows of one z^(k) come third (Yu et al. 2023,
    "XSimGCL: Towards extremely simple graph contrastive learning for recommendation"). The noise
    has no gradient, so these go back as without.
    """

    @staticmethod
    def forward(
        ctx: Any,
        table: Float32[Tensor, "nodes dim"],
        graph: Graph,
        nodes: Int64[Tensor, " n"],
        layers: int,
        noise: Noise | None = None,
    ) -> tuple[Float32[Tensor, "n dim"], ...]:
        """Compute them for different nodes; every layer but the last one is computed whole."""
        ctx.graph, ctx.nodes, ctx.layers, ctx.size = graph, nodes, layers, len(table)
        ctx.chosen = noise.layer if noise else None
        first = table[nodes]
        total, below, layers_of_nodes = first.clone(), table, [first]
        for layer in range(1, layers + 1):
            last = layer == layers
            below = graph.rows(below, nodes) if last else graph.product(below)
            below = noise.added(below) if noise else below
            own = below if last else below[nodes]
            total += own
            if layer == ctx.chosen:
                layers_of_nodes.append(own)
        return total / (layers + 1), *layers_of_nodes

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        """Gradient of the table: G_k = S(g_k) + A G_(k+1), from the last layer down."""
        graph, nodes, layers = ctx.graph, ctx.nodes, ctx.layers
        of_mean, of_first, *of_chosen = gradients
        of_layer = [(of_mean / (layers + 1)).contiguous()] * (layers + 1)
        of_layer[0] = of_layer[0] + of_first
        if of_chosen:
            of_layer[ctx.chosen] = of_layer[ctx.chosen] + of_chosen[0]
        if layers == 0:
            total = of_mean.new_zeros(ctx.size, of_mean.shape[1])
        else:
            total = graph.spread(of_layer[layers], nodes)
        for layer in range(layers - 1, 0, -1):
            total = graph.product(total.index_add_(0, nodes, of_layer[layer]))
        return total.index_add_(0, nodes, of_layer[0]), None, None, None, None


class Product(torch.autograd.Function):
    """A @ x for a symmetric A, with its gradient A @ g."""

    @staticmethod
    def forward(ctx: Any, x: Float32[Tensor, "nodes dim"], graph: Graph) -> Tensor:
        """Multiply."""
        ctx.graph = graph
        return graph.product(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Multiply again."""
        return ctx.graph.product(gradients[0].contiguous()), None


def normalised_adjacency(evidence: sp.csr_matrix) -> sp.csr_matrix:
    """D^-½ A D^-½ of the graph of users, then items, with the evidence as edge weights."""
    left = sp.diags(power(degrees(evidence, 1), -0.5))
    right = sp.diags(power(degrees(evidence, 0), -0.5))
    scaled = left @ evidence @ right
    return sp.csr_matrix(sp.block_array([[None, scaled], [scaled.T, None]]), dtype=np.float32)


@torch.no_grad()
def spectral_start(table: Float32[Tensor, "nodes dim"], graph: Graph, users: int) -> None:
    """Put rows of the space that the steps over the graph damp least in place of random ones.

    It is found by subspace iteration on the items, from their random rows. Each row is brought to
    one length: how popular an item is comes back by the first step over the graph. Where there are
    fewer nodes than dimensions, the last ones stay random.

    Args:
        table: users, then items; it is changed.
        graph: the normalised evidence as a graph, see `normalised_adjacency`.
        users: how many of the rows are users.
    """
    width = min(table.shape)
    block = table[:, :width].clone()
    block[:users] = 0.0
    for _ in range(_ITERATIONS):
        block = torch.linalg.qr(graph.product(graph.product(block)))[0]
    rows = functional.normalize(block + graph.product(block))
    table[:, :width] = rows * (_DEVIATION * width**0.5)


@cache
def _pool() -> ThreadPoolExecutor:
    """Threads of our own: numba's OpenMP layer slows torch in the same process many times over."""
    return ThreadPoolExecutor(thread_name_prefix="propagation")


def _parts(work: Int64[NDArray[np.int64], " rows_1"]) -> list[tuple[int, int]]:
    """Ranges of rows with about the same work, one for each thread; `work` is a running sum."""
    shares = np.linspace(0, work[-1], torch.get_num_threads() + 1)[1:-1]
    cuts = np.searchsorted(work, shares).tolist()
    return list(pairwise([0, *cuts, len(work) - 1]))


def _in_threads(work: Callable[[tuple[int, int]], None], parts: list[tuple[int, int]]) -> None:
    if len(parts) == 1:
        work(parts[0])
    else:
        list(_pool().map(work, parts))


@numba.njit(cache=True, nogil=True)
@no_type_check
def _gather(begin, neighbour, weight, x, nodes, result, first, last):
    """result[k] = Σ_e weight_e · x[neighbour_e] over the edges of nodes[k], for k in a range."""
    dimensions = x.shape[1]
    for k in range(first, last):
        total = result[k]
        total[:] = 0.0
        for edge in range(begin[nodes[k]], begin[nodes[k] + 1]):
            scale, row = weight[edge], x[neighbour[edge]]
            for d in range(dimensions):
                total[d] += scale * row[d]


@numba.njit(cache=True, nogil=True)
@no_type_check
def _spread(begin, neighbour, weight, values, place, result, first, last):
    """result[n] = Σ_e weight_e · values[place[neighbour_e]] over the edges of n that have a place.

    A sum for each row, out of values that stay in the cache, and not additions all over the result.
    """
    dimensions = values.shape[1]
    for node in range(first, last):
        total = result[node]
        total[:] = 0.0
        for edge in range(begin[node], begin[node + 1]):
            k = place[neighbour[edge]]
            if k >= 0:
                scale, row = weight[edge], values[k]
                for d in range(dimensions):
                    total[d] += scale * row[d]
