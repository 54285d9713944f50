"""The paths behind the meta-path contributions of an answer, read from the graph.

Only people the asker follows keep their id; everyone else on a path is anonymous.
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from loaders.catalogue import catalogue
from recsvc.answer import NodeRef, Path
from recsvc.evidence import EvidenceKind
from recsvc.explanation import ExactScores
from recsvc.fusion import Term
from recsvc.snapshot import Snapshot
from recsvc.store import FoundPath, Store, pasteable, path_parameters

_PAIRS_PER_SIGNAL = 2
_PATHS_PER_PAIR = 2

DrawnPaths = Mapping[int, tuple[tuple[Path, ...], str]]
"""By column of the answer: its paths, strongest first, and the Cypher that draws them."""


@dataclass(frozen=True, slots=True)
class _Pair:
    """One piece of evidence and one item, along one meta-path.

    Attributes:
        column: the item's column in the answer.
        evidence_id: outer id of the evidence.
        item_id: outer id of the item.
        scale: λ · n(u) · e_j: what a path of strength 1 adds to the score.
    """

    column: int
    evidence_id: str
    item_id: str
    scale: float


async def find_paths(
    store: Store,
    snapshot: Snapshot,
    user_id: str | None,
    nodes: Sequence[NodeRef],
    exact: ExactScores,
) -> DrawnPaths:
    """Read the strongest paths of every item of an answer, one query per meta-path.

    Args:
        store: the graph.
        snapshot: where the items' ids come from.
        user_id: who asks; None for someone the graph does not know.
        nodes: the evidence, in the order the terms refer to.
        exact: the scores taken apart.

    Raises:
        Neo4jError: the graph cannot be read in time.
    """
    followed = frozenset(str(node.id) for node in nodes if node.kind == "user")
    named = followed | ({user_id} if user_id is not None else frozenset())
    paths: dict[int, list[Path]] = {column: [] for column in range(len(exact.items))}
    cypher: dict[int, list[str]] = {column: [] for column in range(len(exact.items))}
    wanted = [
        (term.signal, pairs)
        for term in exact.terms
        if f"explain/{term.signal}" in catalogue()
        and (pairs := _strongest_pairs(term, snapshot, nodes, exact))
    ]
    answers = await asyncio.gather(
        *(
            store.paths(
                signal, [(p.evidence_id, p.item_id) for p in pairs], user_id,
                limit=_PATHS_PER_PAIR,
            )
            for signal, pairs in wanted
        )
    )  # fmt: skip
    for (signal, pairs), found in zip(wanted, answers, strict=True):
        by_pair = {(p.evidence_id, p.item_id): p for p in pairs}
        drawn: dict[int, list[tuple[str, str]]] = {}
        for path in found:
            pair = by_pair[path.evidence_id, path.item_id]
            paths[pair.column].append(_path(path, pair.scale, named))
            drawn.setdefault(pair.column, []).append((pair.evidence_id, pair.item_id))
        for column, listed in drawn.items():
            parameters = path_parameters(
                list(dict.fromkeys(listed)), user_id, limit=_PATHS_PER_PAIR
            )
            cypher[column].append(pasteable(signal, parameters))
    return {
        column: (
            tuple(sorted(paths[column], key=lambda path: -abs(path.contribution))),
            "\nUNION ALL\n".join(cypher[column]),
        )
        for column in paths
    }


def _strongest_pairs(
    term: Term, snapshot: Snapshot, nodes: Sequence[NodeRef], exact: ExactScores
) -> list[_Pair]:
    pairs: list[_Pair] = []
    for column, item in enumerate(exact.items.tolist()):
        values = term.values[:, column]
        for row in np.argsort(-np.abs(values), kind="stable")[:_PAIRS_PER_SIGNAL].tolist():
            if values[row]:
                evidence_id = str(nodes[int(term.position[row])].id)
                scale = float(term.scale[row])
                pairs.append(_Pair(column, evidence_id, snapshot.items[item], scale))
    return pairs


def _path(found: FoundPath, scale: float, named: frozenset[str]) -> Path:
    nodes: dict[str, tuple[EvidenceKind, Any, Any]] = {
        key: (kind, node_id, name) for key, kind, node_id, name in found.nodes
    }
    position = {key: index for index, key in enumerate(nodes)}
    return Path(
        contribution=scale * found.strength,
        nodes=tuple(_reference(*node, named) for node in nodes.values()),
        relationships=tuple(
            {"type": name, "from": position[start], "to": position[end]}
            for name, start, end in found.steps
        ),
    )


def _reference(kind: EvidenceKind, node_id: Any, name: Any, named: frozenset[str]) -> NodeRef:
    if kind == "user" and str(node_id) not in named:
        return NodeRef("user", None)
    return NodeRef(kind, str(node_id), name)
