"""A declared meta-path computed on arrays: the rows that its Cypher gives, for all nodes at once.

    strength(j, i) = d_j^a · Σ_walks Π_hops w(r) · Π_between d_n^b · d_i^c

over the walks j → … → i that keep within the cap of every hop, for i ≠ j. Interactions that do not
speak for an item are not there, for degrees either. It is a product of one sparse matrix per hop,
made for a block of rows at a time, each cut to its largest entries at once.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph, Weights
from loaders.walk import Hop, Label, Walk
from recsvc.signals.rows import truncate_rows

_THREADS = 2
_ENTRIES_AT_ONCE = 2_000_000
"""Of a product in each thread, before the largest are taken."""
_Rows = Int64[NDArray[np.int64], " edges"]


def walk_rows(
    walk: Walk,
    graph: HeteroGraph,
    kinds: Sequence[str],
    size: int,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
    *,
    starts: _Rows | None = None,
) -> sp.csr_matrix:
    """The rows of a walk from nodes of its kind.

    Args:
        walk: what the meta-path declares.
        graph: nodes and relationships.
        kinds: of events, those that speak for an item.
        size: the largest entries of each row that are kept; ties by the smaller column.
        progress: told (done, total) in rows.
        starts: the nodes; all of them unless given.

    Returns:
        float32 [start nodes, items].
    """
    first, *others = _hop_matrices(walk, graph, kinds)
    if starts is not None:
        first = first[starts]

    def product(bounds: tuple[int, int]) -> sp.csr_matrix:
        begin, end = bounds
        block = first[begin:end]
        for matrix in others:
            block = block @ matrix
        if walk.start == "Item":
            own = np.arange(begin, end) if starts is None else starts[begin:end]
            block = _without_itself(block, own)
        block.eliminate_zeros()
        return truncate_rows(sp.csr_matrix(block, dtype=np.float32), size)[0]

    blocks = [sp.csr_matrix((0, len(graph.items))).astype(np.float32)]
    bounds = list(_blocks(first, others))
    # scipy multiplies without the interpreter's lock. Each thread holds a product whole.
    with ThreadPoolExecutor(_THREADS) as pool:
        for (_, end), block in zip(bounds, pool.map(product, bounds), strict=True):
            blocks.append(block)
            progress(end, first.shape[0])
    return sp.csr_matrix(sp.vstack(blocks, format="csr", dtype=np.float32))


def strongest_paths(
    walk: Walk, graph: HeteroGraph, kinds: Sequence[str], pairs: Sequence[tuple[int, int]]
) -> list[list[int]]:
    """Of each pair the path that adds most to its strength.

    Args:
        walk: what the meta-path declares.
        graph: nodes and relationships.
        kinds: of events, those that speak for an item.
        pairs: rows of a start node and of an item that the walk leads to.

    Returns:
        Of each pair the row of every node on the way, both ends among them.
    """
    matrices = _hop_matrices(walk, graph, kinds)

    def strongest(start: int, item: int) -> list[int]:
        paths = {start: (1.0, [start])}
        for matrix in matrices:
            longer: dict[int, tuple[float, list[int]]] = {}
            for node, (strength, path) in paths.items():
                row = slice(matrix.indptr[node], matrix.indptr[node + 1])
                ends, values = matrix.indices[row].tolist(), matrix.data[row].tolist()
                for end, value in zip(ends, values, strict=True):
                    if end not in longer or strength * value > longer[end][0]:
                        longer[end] = strength * value, [*path, end]
            paths = longer
        return paths[item][1]

    return [strongest(*pair) for pair in pairs]


def _hop_matrices(walk: Walk, graph: HeteroGraph, kinds: Sequence[str]) -> list[sp.csr_matrix]:
    """One matrix per hop, float64; the powers of degrees are in that of the hop that leaves."""
    sizes: dict[Label, int] = {
        "User": len(graph.users),
        "Item": len(graph.items),
        "Category": len(graph.categories),
    }
    matrices: list[sp.csr_matrix] = []
    for hop, exponent in zip(walk.hops, walk.exponents, strict=False):
        source, target, weight = _edges(hop, graph, kinds)
        shape = _shape(hop, sizes)
        if hop.levels:
            matrices.append(_reached(source, target, shape[0], hop.levels))
            continue
        factor = _power(np.bincount(source, minlength=shape[0]), exponent)
        if hop is walk.hops[-1]:
            end = _power(np.bincount(target, minlength=shape[1]), walk.exponents[-1])
        else:
            end = np.ones(shape[1])
        source, target, weight = _within_cap(hop, source, target, weight)
        share = np.log1p(np.where(weight > 0.0, weight, 0.0)) if hop.log else np.ones(len(source))
        values = factor[source] * share * end[target]
        matrices.append(sp.csr_matrix((values, (source, target)), shape=shape))
    return matrices


def _reached(source: _Rows, target: _Rows, size: int, levels: int) -> sp.csr_matrix:
    """1 from each node to itself and to whatever so many steps lead to at most."""
    step = sp.csr_matrix((np.ones(len(source), bool), (source, target)), shape=(size, size))
    reached = sp.identity(size, dtype=bool, format="csr")
    for _ in range(levels):
        before, reached = reached.nnz, (reached + reached @ step) > 0
        if reached.nnz == before:
            break
    return sp.csr_matrix(reached, dtype=np.float64)


def _shape(hop: Hop, sizes: dict[Label, int]) -> tuple[int, int]:
    start, end = hop.ends
    return sizes[start], sizes[end]


def _edges(hop: Hop, graph: HeteroGraph, kinds: Sequence[str]) -> tuple[_Rows, _Rows, Weights]:
    """The relationships of a hop that speak, in its direction: from, to, weight."""
    if hop.type == "INTERACTED":
        did = graph.interactions
        of_kind = np.array([name in kinds for name in did.events], bool)
        did = did.take(of_kind[did.event_index] & (did.weight > 0.0))
        source, target, weight = did.user_index, did.item_index, did.weight
    else:
        edges = {
            "FOLLOWS": graph.follows,
            "PREFERS": graph.prefers,
            "IN_CATEGORY": graph.in_category,
            "SUBCATEGORY_OF": graph.subcategory_of,
        }[hop.type]
        source, target, weight = edges.source, edges.target, edges.weight
    return (source, target, weight) if hop.forward else (target, source, weight)


def _within_cap(
    hop: Hop, source: _Rows, target: _Rows, weight: Weights
) -> tuple[_Rows, _Rows, Weights]:
    """Of each node the strongest relationships, ties by the id they lead to.

    NaN comes before all numbers, as in Cypher's descending order.
    """
    strength = np.where(np.isnan(weight), -np.inf, -weight.astype(np.float64))
    order = np.lexsort((target, strength, source))
    if hop.strongest:
        # Of one pair the strongest stands first: a stable sort by pair finds it.
        pair = np.lexsort((target[order], source[order]))
        ends = np.stack([source[order], target[order]])[:, pair]
        new = np.ones(len(pair), bool)
        new[1:] = (ends[:, 1:] != ends[:, :-1]).any(axis=0)
        order = order[np.sort(pair[new])]
    count = np.bincount(source[order])
    rank = np.arange(len(order)) - np.repeat(np.cumsum(count) - count, count)
    strongest = order[rank < hop.cap]
    return source[strongest], target[strongest], weight[strongest]


def _power(
    degree: Int64[NDArray[np.int64], " nodes"], exponent: float
) -> Float64[NDArray[np.float64], " nodes"]:
    """degree^exponent; 1 where a node has none, as no walk leads there."""
    return np.maximum(degree, 1).astype(np.float64) ** exponent


def _blocks(first: sp.csr_matrix, others: list[sp.csr_matrix]) -> Iterator[tuple[int, int]]:
    """Ranges of rows whose products have so many entries at most that they fit in memory."""
    entries = np.ones(others[-1].shape[1] if others else first.shape[1])
    for matrix in reversed(others):
        entries = np.minimum(_pattern(matrix) @ entries, matrix.shape[1])
    width = others[-1].shape[1] if others else first.shape[1]
    filled = np.cumsum(np.minimum(_pattern(first) @ entries, width))
    begin = 0
    while begin < first.shape[0]:
        before = filled[begin - 1] if begin else 0.0
        end = int(np.searchsorted(filled, before + _ENTRIES_AT_ONCE, side="right"))
        end = max(end, begin + 1)
        yield begin, end
        begin = end


def _pattern(matrix: sp.csr_matrix) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)


def _without_itself(block: sp.csr_matrix, own: _Rows) -> sp.csr_matrix:
    """Without the entries that lead from an item to itself; `own` are the items of the rows."""
    cells = block.tocoo()
    other = own[cells.row] != cells.col
    return sp.csr_matrix((cells.data[other], (cells.row[other], cells.col[other])), block.shape)
