"""The graph as arrays.

Relationships are read as collected lists, one record for each range of start nodes, through
several sessions at once: on Gowalla that is some twenty times the rate of one record for each
relationship (benchmarks/loaders.py). Ids are sorted and edges ordered, so the same graph gives the
same arrays.
"""

import itertools
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import polars as pl
import scipy.sparse as sp

from loaders.catalogue import Query, catalogue
from loaders.gateway import Gateway, Row, Transaction
from loaders.types import Edges, HeteroGraph, IdMap, Interactions

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

_In = TypeVar("_In")
_Out = TypeVar("_Out")

_IDS_PER_PAGE = 50_000
_NODES_PER_RANGE = 2_000
_EVIDENCE_PER_BATCH = 1_000
_SESSIONS = 2

Progress = Callable[[str, int, int], None]
"""Told (what, done, total)."""


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


def extract_graph(
    gateway: Gateway, progress: Progress = lambda _what, _done, _total: None
) -> HeteroGraph:
    """Read the whole graph of CONTRACT §3.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    named = catalogue()
    order = {
        label: _ordered_ids(gateway, named[f"extract/{label}_ids"])
        for label in ("user", "item", "category")
    }
    users, items, categories = (IdMap.from_unsorted(order[label]) for label in order)
    maps = {"user": users, "item": items, "category": categories}

    def edges(name: str, source: str, target: str) -> Edges:
        rows = _by_range(gateway, named[f"extract/{name}"], order[source], name, progress)
        return _edges(rows, maps[source], maps[target])

    interacted = _by_range(
        gateway, named["extract/interacted"], order["user"], "interactions", progress
    )
    return HeteroGraph(
        users=users,
        items=items,
        categories=categories,
        interactions=_interactions(interacted, users, items),
        follows=edges("follows", "user", "user"),
        prefers=edges("prefers", "user", "category"),
        in_category=edges("in_category", "item", "category"),
        subcategory_of=edges("subcategory_of", "category", "category"),
    )


def extract_details(gateway: Gateway, items: IdMap, categories: IdMap) -> ItemDetails:
    """Titles, availability and category names, in the order of the id maps.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    named = catalogue()
    item_order = _ordered_ids(gateway, named["extract/item_ids"])
    category_order = _ordered_ids(gateway, named["extract/category_ids"])
    rows = list(_by_range(gateway, named["extract/item_details"], item_order))
    names = list(_by_range(gateway, named["extract/category_names"], category_order))
    title, available = _lookup(rows, "titles"), _lookup(rows, "available")
    name = _lookup(names, "names")
    return ItemDetails(
        titles=tuple(title.get(i, "") for i in items),
        available=tuple(bool(available.get(i, False)) for i in items),
        category_names=tuple(name.get(c, "") for c in categories),
    )


def metapath_rows(
    runner: Gateway | Transaction,
    metapath: str,
    evidence: IdMap,
    items: IdMap,
    shorten: Callable[[sp.csr_matrix], sp.csr_matrix],
    *,
    wanted: Sequence[str] | None = None,
    progress: Progress = lambda _what, _done, _total: None,
) -> sp.csr_matrix:
    """Run one meta-path over evidence nodes and keep what it returns as sparse rows.

    Args:
        runner: a gateway, or an open transaction that sees its own changes.
        metapath: file name below `cypher/metapaths/`.
        evidence: all evidence nodes of its kind; one row each.
        items: columns.
        shorten: applied to each batch of rows before it is kept.
        wanted: the evidence nodes to run it over; all of them unless given.
        progress: told what is done.

    Returns:
        float32 [evidence, items].

    Raises:
        Neo4jError: the query cannot be run.
    """
    query = catalogue()[f"extract/metapath_rows[{metapath}]"]
    chosen = list(evidence if wanted is None else wanted)
    batches = [
        chosen[n : n + _EVIDENCE_PER_BATCH] for n in range(0, len(chosen), _EVIDENCE_PER_BATCH)
    ]

    def rows_of(batch: list[str]) -> sp.csr_matrix:
        return shorten(_sparse(runner.run(query, evidence_ids=batch), evidence, items))

    total = sp.csr_matrix((len(evidence), len(items))).astype(np.float32)
    parts: list[sp.csr_matrix] = []
    # A transaction belongs to one thread; a gateway opens a session for each call.
    sessions = _SESSIONS if wanted is None else 1
    for done, part in enumerate(_side_by_side(rows_of, batches, sessions), start=1):
        parts.append(part)
        progress(metapath, min(done * _EVIDENCE_PER_BATCH, len(chosen)), len(chosen))
    return sum(parts, total).tocsr()


def to_hetero_data(graph: HeteroGraph) -> "HeteroData":
    """The graph as PyG `HeteroData`: `edge_index` and `edge_weight` for each relationship type."""
    import torch  # here, since it takes seconds to import and only this function needs it
    from torch_geometric.data import HeteroData

    data = HeteroData()
    for label, ids in (
        ("User", graph.users), ("Item", graph.items), ("Category", graph.categories),
    ):  # fmt: skip
        data[label].num_nodes = len(ids)
    did = graph.interactions
    interacted = Edges(did.user_index, did.item_index, did.weight)
    for source, kind, target, edges in (
        ("User", "INTERACTED", "Item", interacted),
        ("User", "FOLLOWS", "User", graph.follows),
        ("User", "PREFERS", "Category", graph.prefers),
        ("Item", "IN_CATEGORY", "Category", graph.in_category),
        ("Category", "SUBCATEGORY_OF", "Category", graph.subcategory_of),
    ):
        store = data[source, kind, target]
        store.edge_index = torch.from_numpy(np.stack([edges.source, edges.target]))
        store.edge_weight = torch.from_numpy(edges.weight)
    data["User", "INTERACTED", "Item"].event = torch.from_numpy(did.event_index)
    data["User", "INTERACTED", "Item"].last_at = torch.from_numpy(did.last_at)
    return data


@dataclass(frozen=True, slots=True)
class SavedGraph:
    """What `extract_to_folder` wrote, and how fast it was read.

    Attributes:
        folder: where.
        nodes: nodes by label.
        relationships: relationships by type.
        seconds: time of reading from Neo4j.
    """

    folder: Path
    nodes: Mapping[str, int]
    relationships: Mapping[str, int]
    seconds: float

    @property
    def relationships_per_second(self) -> float:
        """Relationships read per second."""
        return sum(self.relationships.values()) / self.seconds if self.seconds else 0.0


def extract_to_folder(
    gateway: Gateway, folder: Path, progress: Progress = lambda _what, _done, _total: None
) -> SavedGraph:
    """Read the graph and write `graph.npz` and the id tables `users.csv`, `items.csv`, ….

    Raises:
        Neo4jError: the graph cannot be read.
        OSError: the folder cannot be written.
    """
    started = time.perf_counter()
    graph = extract_graph(gateway, progress)
    seconds = time.perf_counter() - started
    folder.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray[Any, Any]] = {"event_names": np.array(graph.interactions.events)}
    for column in ("user_index", "item_index", "event_index", "weight", "last_at"):
        arrays[f"interactions_{column}"] = getattr(graph.interactions, column)
    counts = {"INTERACTED": len(graph.interactions)}
    for name in ("follows", "prefers", "in_category", "subcategory_of"):
        edges: Edges = getattr(graph, name)
        counts[name.upper()] = len(edges)
        for column in ("source", "target", "weight"):
            arrays[f"{name}_{column}"] = getattr(edges, column)
    np.savez(folder / "graph.npz", allow_pickle=False, **arrays)
    tables = {"users": graph.users, "items": graph.items, "categories": graph.categories}
    for name, ids in tables.items():
        pl.DataFrame({"index": np.arange(len(ids)), "id": list(ids)}).write_csv(
            folder / f"{name}.csv"
        )
    return SavedGraph(folder, {n: len(ids) for n, ids in tables.items()}, counts, seconds)


def _ordered_ids(gateway: Gateway, query: Query) -> list[str]:
    ids: list[str] = []
    while page := gateway.run(query, after=ids[-1] if ids else "", limit=_IDS_PER_PAGE)[0]["ids"]:
        ids += page
    return ids


def _by_range(
    gateway: Gateway,
    query: Query,
    order: Sequence[str],
    what: str = "",
    progress: Progress = lambda _what, _done, _total: None,
) -> Iterator[Row]:
    """One record for each range of nodes, in order."""
    ranges = [
        (order[start], order[min(start + _NODES_PER_RANGE, len(order)) - 1])
        for start in range(0, len(order), _NODES_PER_RANGE)
    ]

    def read(bounds: tuple[str, str]) -> Row:
        return gateway.run(query, first=bounds[0], last=bounds[1])[0]

    for done, row in enumerate(_side_by_side(read, ranges, _SESSIONS), start=1):
        yield row
        progress(what, min(done * _NODES_PER_RANGE, len(order)), len(order))


def _side_by_side(
    work: Callable[[_In], _Out], inputs: Sequence[_In], sessions: int
) -> Iterator[_Out]:
    if sessions == 1:
        yield from map(work, inputs)
        return
    with ThreadPoolExecutor(sessions) as pool:
        yield from pool.map(work, inputs)


def _joined(rows: Sequence[Row], column: str) -> list[Any]:
    return list(itertools.chain.from_iterable(row[column] for row in rows))


def _lookup(rows: Sequence[Row], column: str) -> dict[str, Any]:
    return dict(zip(_joined(rows, "ids"), _joined(rows, column), strict=True))


def _edges(rows: Iterator[Row], sources: IdMap, targets: IdMap) -> Edges:
    read = list(rows)
    source, target = (
        sources.rows(_joined(read, "sources")), targets.rows(_joined(read, "targets")),
    )  # fmt: skip
    weight = np.array(_joined(read, "weights"), np.float32)
    known = np.flatnonzero((source >= 0) & (target >= 0))
    order = known[np.lexsort((target[known], source[known]))]
    return Edges(source[order], target[order], weight[order])


def _interactions(rows: Iterator[Row], users: IdMap, items: IdMap) -> Interactions:
    read = list(rows)
    names, event = np.unique(np.array(_joined(read, "events"), dtype=object), return_inverse=True)
    user, item = users.rows(_joined(read, "sources")), items.rows(_joined(read, "targets"))
    # A relationship made after the ids were read may name a node that is not among them.
    known = np.flatnonzero((user >= 0) & (item >= 0))
    order = known[np.lexsort((event[known], item[known], user[known]))]
    return Interactions(
        user[order],
        item[order],
        event[order].astype(np.int8),
        np.array(_joined(read, "weights"), np.float32)[order],
        np.array(_joined(read, "times"), np.float64)[order],
        tuple(map(str, names)),
    )


def _sparse(rows: Sequence[Row], evidence: IdMap, items: IdMap) -> sp.csr_matrix:
    lengths = [len(row["item_ids"]) for row in rows]
    source = np.repeat(evidence.rows([row["evidence_id"] for row in rows]), lengths)
    target = items.rows(_joined(rows, "item_ids"))
    strength = np.array(_joined(rows, "strengths"), np.float32)
    known = (source >= 0) & (target >= 0)
    return sp.csr_matrix(
        (strength[known], (source[known], target[known])), shape=(len(evidence), len(items))
    )
