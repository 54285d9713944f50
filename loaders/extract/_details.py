"""What answers show of nodes, and what meta-paths return."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from loaders.catalogue import Query, catalogue, planned_once
from loaders.extract._reading import (
    SESSIONS,
    Nodes,
    Progress,
    joined,
    ranges,
    read_nodes,
    read_ranges,
    side_by_side,
    silent,
)
from loaders.gateway import Gateway, Row, Transaction, taken
from loaders.types import IdMap

_EVIDENCE_PER_BATCH = 1_000


@dataclass(frozen=True, slots=True)
class ItemDetails:
    """What answers show of items and categories.

    Attributes:
        titles: one per item, "" where there is none.
        available: one per item.
        category_names: one per category, "" where there is none.
    """

    titles: tuple[str, ...]
    available: tuple[bool, ...]
    category_names: tuple[str, ...]


def extract_details(gateway: Gateway, items: IdMap, categories: IdMap) -> ItemDetails:
    """Titles, availability and category names, in the order of the id maps.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    named = catalogue()
    item_nodes = read_nodes(gateway, named["extract/item_ids"], until=None)
    category_nodes = read_nodes(gateway, named["extract/category_ids"])
    rows = _records(gateway, named["extract/item_details"], item_nodes)
    names = _records(gateway, named["extract/category_names"], category_nodes)
    title, available = _lookup(rows, "titles"), _lookup(rows, "available")
    name = _lookup(names, "names")
    return ItemDetails(
        titles=tuple(title.get(i, "") for i in items),
        available=tuple(bool(available.get(i, False)) for i in items),
        category_names=tuple(name.get(c, "") for c in categories),
    )


def metapath_rows(
    runner: Gateway | Transaction,
    query: Query,
    evidence: IdMap,
    items: IdMap,
    shorten: Callable[[sp.csr_matrix], sp.csr_matrix],
    *,
    kinds: Sequence[str],
    wanted: Sequence[str] | None = None,
    progress: Progress = silent,
) -> sp.csr_matrix:
    """Run one meta-path over evidence nodes and keep what it returns as sparse rows.

    Args:
        runner: a gateway, or an open transaction that sees its own changes.
        query: `extract/metapath_rows` of the meta-path.
        evidence: all evidence nodes of its kind; one row each.
        items: columns.
        shorten: applied to each batch of rows before it is kept.
        kinds: of events, those that speak for an item; a file that does not ask is not told.
        wanted: the evidence nodes to run it over; all of them unless given.
        progress: told what is done.

    Returns:
        float32 [evidence, items].

    Raises:
        Neo4jError: the query cannot be run.
    """
    chosen = list(evidence if wanted is None else wanted)
    batches = [
        chosen[n : n + _EVIDENCE_PER_BATCH] for n in range(0, len(chosen), _EVIDENCE_PER_BATCH)
    ]

    def rows_of(batch: list[str]) -> sp.csr_matrix:
        given = taken(query, {"evidence_ids": batch, "kinds": list(kinds)})
        return shorten(_sparse(runner.run(planned_once(query), all=given), evidence, items))

    total = sp.csr_matrix((len(evidence), len(items))).astype(np.float32)
    parts: list[sp.csr_matrix] = []
    # A transaction belongs to one thread; a gateway opens a session for each call.
    sessions = SESSIONS if wanted is None else 1
    for done, part in enumerate(side_by_side(rows_of, batches, sessions), start=1):
        parts.append(part)
        progress(query.name, min(done * _EVIDENCE_PER_BATCH, len(chosen)), len(chosen))
    return sum(parts, total).tocsr()


def _records(gateway: Gateway, query: Query, nodes: Nodes) -> list[Row]:
    return [row for rows in read_ranges(gateway, query, ranges(nodes.order), list) for row in rows]


def _lookup(rows: Sequence[Row], column: str) -> dict[str, Any]:
    return dict(zip(joined(rows, "ids"), joined(rows, column), strict=True))


def _sparse(rows: Sequence[Row], evidence: IdMap, items: IdMap) -> sp.csr_matrix:
    lengths = [len(row["item_ids"]) for row in rows]
    source = np.repeat(evidence.rows([row["evidence_id"] for row in rows]), lengths)
    target = items.rows(joined(rows, "item_ids"))
    strength = np.array(joined(rows, "strengths"), np.float32)
    has_rows = (source >= 0) & (target >= 0)
    return sp.csr_matrix(
        (strength[has_rows], (source[has_rows], target[has_rows])),
        shape=(len(evidence), len(items)),
    )
