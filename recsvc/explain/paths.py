"""The paths behind the meta-path contributions of an answer, read from the graph.

Only people the asker follows keep their id; everyone else on a path is anonymous.

Of equally strong paths that one comes first that starts at what the asker did last: the recency of
Balloccu, Boratto, Fenu & Marras 2022, "Post Processing Recommender Systems with Knowledge Graphs
for Recency, Popularity, and Diversity of Explanations". There, items move for it; here only the
paths of an item do.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from loaders.mapped import MappedGraph
from recsvc.answer import NodeRef, Path
from recsvc.blend.blend import Term
from recsvc.explain.contributions import ExactScores
from recsvc.graph.pasteable_cypher import pasteable, path_parameters
from recsvc.graph.rows import FoundPath
from recsvc.graph.store import Store
from recsvc.snapshot.arrays import Snapshot

EQUALLY_STRONG = 0.01
"""What is weaker by less than this share may count as equally strong: it reads much the same."""

_LEAST = np.finfo(np.float64).tiny
_PAIRS_PER_SIGNAL = 1
_PATHS_PER_PAIR = 2
_QUERIES_AT_ONCE = 4
"""Queries of one answer that Neo4j works on at a time: others are to be answered meanwhile."""
_PAIRS_AT_ONCE = 50
"""Pairs of one query: what one answer of Neo4j holds is taken apart at once."""

DrawnPaths = Mapping[int, tuple[tuple[Path, ...], str]]
"""By column of the answer: its paths, strongest first, and the Cypher that draws them."""
Preference = tuple[int, float, str]
"""The lowest is preferred. Position of the evidence, then the strength below 0, then the id of what
links the item."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """One piece of evidence and one item, along one meta-path.

    Attributes:
        column: the item's column in the answer.
        evidence_id: outer id of the evidence.
        item_id: outer id of the item.
        scale: λ · n(u) · e_j: what a path of strength 1 adds to the score.
        position: of the evidence among all of it.
    """

    column: int
    evidence_id: str
    item_id: str
    scale: float
    position: int


async def find_paths(
    store: Store,
    snapshot: Snapshot,
    user_id: str | None,
    nodes: Sequence[NodeRef],
    exact: ExactScores,
    do: Callable[..., Awaitable[Any]],
) -> DrawnPaths:
    """Read the strongest paths of every item of an answer, a query for each meta-path and part.

    Args:
        store: the graph.
        snapshot: where the items' ids come from.
        user_id: who asks; None for someone the graph does not know.
        nodes: the evidence, in the order the terms refer to: what was done last comes first.
        exact: the scores taken apart.
        do: has a function done where it holds nobody up.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    wanted: list[_Wanted] = await do(_wanted, store, snapshot, nodes, exact)
    room = asyncio.Semaphore(_QUERIES_AT_ONCE)

    async def read(signal: str, pairs: Sequence[_Pair]) -> list[FoundPath]:
        asked = [(pair.evidence_id, pair.item_id) for pair in pairs]
        async with room:
            return await store.paths(signal, asked, user_id, snapshot.kinds, limit=_PATHS_PER_PAIR)

    answers = await asyncio.gather(*(read(signal, pairs) for signal, pairs in wanted))
    graph = store.address.graph
    return await do(
        _drawn, wanted, answers, user_id, snapshot.kinds, nodes, len(exact.items), graph
    )


_Wanted = tuple[str, Sequence[_Pair]]
"""Pairs whose paths are read along one meta-path."""


def _wanted(
    store: Store, snapshot: Snapshot, nodes: Sequence[NodeRef], exact: ExactScores
) -> list[_Wanted]:
    wanted: list[_Wanted] = []
    for term in exact.terms:
        if store.has_paths(term.signal):
            pairs = _strongest_pairs(term, snapshot, nodes, exact)
            parts = range(0, len(pairs), _PAIRS_AT_ONCE)
            wanted += [(term.signal, pairs[at : at + _PAIRS_AT_ONCE]) for at in parts]
    return wanted


def _drawn(
    wanted: Sequence[_Wanted],
    answers: Sequence[Sequence[FoundPath]],
    user_id: str | None,
    kinds: Sequence[str],
    nodes: Sequence[NodeRef],
    columns: int,
    graph: MappedGraph | None,
) -> DrawnPaths:
    followed = frozenset(str(node.id) for node in nodes if node.kind == "user")
    named = followed | ({user_id} if user_id is not None else frozenset())
    paths: dict[int, list[tuple[Path, Preference]]] = {column: [] for column in range(columns)}
    cypher: dict[int, list[str]] = {column: [] for column in range(columns)}
    for (signal, pairs), drawn_paths in zip(wanted, answers, strict=True):
        by_pair = {(p.evidence_id, p.item_id): p for p in pairs}
        drawn: dict[int, list[tuple[str, str]]] = {}
        for path in drawn_paths:
            pair = by_pair[path.evidence_id, path.item_id]
            order = preference(path, pair.position)
            paths[pair.column].append((_path(path, pair.scale, named), order))
            drawn.setdefault(pair.column, []).append((pair.evidence_id, pair.item_id))
        for column, listed in drawn.items():
            parameters = path_parameters(
                list(dict.fromkeys(listed)), user_id, kinds, limit=_PATHS_PER_PAIR
            )
            cypher[column].append(pasteable(signal, parameters, graph))
    return {
        column: (_strongest_first(paths[column]), "\nUNION ALL\n".join(cypher[column]))
        for column in paths
    }


def strength_steps(
    values: Float64[NDArray[np.float64], "..."],
) -> Float64[NDArray[np.float64], "..."]:
    """The step that the absolute value of each is on: round(ln |value| / `EQUALLY_STRONG`).

    The weaker of two on one step is above 1 - `EQUALLY_STRONG` of the stronger.
    """
    return np.round(np.log(np.maximum(np.abs(values), _LEAST)) / EQUALLY_STRONG)


def preference(path: FoundPath, position: int) -> Preference:
    """Where a path stands among equally strong ones.

    Args:
        path: from the user or the evidence to the item.
        position: of its evidence.
    """
    return position, -path.strength, str(path.nodes[-2][1])


def _strongest_pairs(
    term: Term, snapshot: Snapshot, nodes: Sequence[NodeRef], exact: ExactScores
) -> list[_Pair]:
    strengths = np.abs(term.values)
    last = max(len(strengths) - _PAIRS_PER_SIGNAL, 0)
    least = (1.0 - EQUALLY_STRONG) * np.partition(strengths, last, axis=0)[last]
    rows, columns = np.nonzero(strengths >= np.maximum(least, _LEAST))
    steps = strength_steps(strengths[rows, columns])
    taken = [0] * len(exact.items)
    pairs: list[_Pair] = []
    for at in np.lexsort((term.position[rows], -steps, columns)).tolist():
        row, column = int(rows[at]), int(columns[at])
        taken[column] += 1
        if taken[column] <= _PAIRS_PER_SIGNAL:
            position, item = int(term.position[row]), snapshot.items[int(exact.items[column])]
            evidence_id, scale = str(nodes[position].id), float(term.scale[row])
            pairs.append(_Pair(column, evidence_id, item, scale, position))
    return pairs


def _strongest_first(paths: Sequence[tuple[Path, Preference]]) -> tuple[Path, ...]:
    steps = strength_steps(np.array([path.contribution for path, _ in paths])).tolist()
    order = sorted(range(len(paths)), key=lambda at: (-steps[at], paths[at][1]))
    return tuple(paths[at][0] for at in order)


def _path(path: FoundPath, scale: float, named: frozenset[str]) -> Path:
    return Path(
        contribution=scale * path.strength,
        nodes=tuple(_reference(*node, named) for node in path.nodes),
        relationships=tuple(
            {"type": name, "from": start, "to": end} for name, start, end in path.steps
        ),
    )


def _reference(kind: str, node_id: Any, name: Any, named: frozenset[str]) -> NodeRef:
    if kind == "user" and node_id not in named:
        return NodeRef("user", None)
    return NodeRef(kind, node_id, name)
