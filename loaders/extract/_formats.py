"""The graph in the forms of other libraries."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from loaders.extract._selection import EDGES
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    RELATED_ITEMS,
    USERS,
    TableSpec,
)
from loaders.types import Edges, HeteroGraph, IdMap

if TYPE_CHECKING:
    from networkx import MultiDiGraph
    from torch_geometric.data import HeteroData


def id_maps(graph: HeteroGraph) -> dict[str, IdMap]:
    """The ids of each label."""
    return {"User": graph.users, "Item": graph.items, "Category": graph.categories}


def all_edges(graph: HeteroGraph) -> Iterator[tuple[str, str, str, Edges]]:
    """(start label, type, end label, relationships) of everything with a weight."""
    did = graph.interactions
    yield "User", "INTERACTED", "Item", Edges(did.user_index, did.item_index, did.weight)
    for kind, (name, source, target) in EDGES.items():
        yield source, kind, target, getattr(graph, name)


def to_hetero_data(graph: HeteroGraph) -> "HeteroData":
    """The graph as PyG `HeteroData`: `edge_index` and `edge_weight` for each relationship type."""
    import torch  # here, since it takes seconds to import and only this function needs it
    from torch_geometric.data import HeteroData

    data = HeteroData()
    for label, ids in id_maps(graph).items():
        data[label].num_nodes = len(ids)
    for source, kind, target, edges in all_edges(graph):
        store = data[source, kind, target]
        store.edge_index = torch.from_numpy(np.stack([edges.source, edges.target]))
        store.edge_weight = torch.from_numpy(edges.weight.astype(np.float32))
    did = graph.interactions
    data["User", "INTERACTED", "Item"].event = torch.from_numpy(did.event_index)
    data["User", "INTERACTED", "Item"].last_at = torch.from_numpy(did.last_at)
    return data


def to_networkx(graph: HeteroGraph) -> "MultiDiGraph[tuple[str, str]]":
    """The graph as networkx `MultiDiGraph`.

    A node is (label, id) and a relationship's key is its type, for interactions also its event:
    `INTERACTED listen`. Relationships have `weight`, interactions also `event` and, where it is
    known, `last_at` in Unix seconds.
    """
    import networkx as nx  # here, since only this function needs it

    result: MultiDiGraph[tuple[str, str]] = nx.MultiDiGraph()
    maps = id_maps(graph)
    for label, ids in maps.items():
        result.add_nodes_from((label, node_id) for node_id in ids)
    for source, kind, target, edges in all_edges(graph):
        starts, ends = maps[source], maps[target]
        details = _interaction_details(graph) if kind == "INTERACTED" else None
        for start, end, weight in zip(
            edges.source.tolist(), edges.target.tolist(), edges.weight.tolist(), strict=True
        ):
            more = next(details) if details else {}
            key = f"{kind} {more['event']}" if more else kind
            ends_at = (target, ends[end])
            result.add_edge((source, starts[start]), ends_at, key=key, weight=weight, **more)
    return result


def _interaction_details(graph: HeteroGraph) -> Iterator[dict[str, Any]]:
    did = graph.interactions
    for event, last_at in zip(did.event_index.tolist(), did.last_at.tolist(), strict=True):
        last = {} if math.isnan(last_at) else {"last_at": last_at}
        yield {"event": did.events[event], **last}


def to_tables(graph: HeteroGraph) -> dict[TableSpec, pl.DataFrame]:
    """The graph as the tables of CONTRACT §2, which `ingest` reads.

    An interaction is one row, its `value` the total weight and its `timestamp` the newest time.
    """
    did = graph.interactions
    events = pl.Series(did.events, dtype=pl.String)
    parents = _links(graph.subcategory_of, graph.categories, graph.categories)
    times = pl.Series((did.last_at * 1e6).round(), nan_to_null=True).cast(pl.Int64)
    users, items, categories = (
        pl.DataFrame({f"{label.lower()}_id": _column(ids)}) for label, ids in id_maps(graph).items()
    )
    linked = _named(parents, "category_id", "parent_id").drop("weight")
    preferences = _links(graph.prefers, graph.users, graph.categories)
    follows = _links(graph.follows, graph.users, graph.users)
    belongs = _links(graph.in_category, graph.items, graph.categories)
    related = _links(graph.related_to, graph.items, graph.items)
    return {
        ITEMS: items,
        USERS: users,
        CATEGORIES: categories.join(linked, on="category_id", how="left", maintain_order="left"),
        ITEM_CATEGORIES: _named(belongs, "item_id", "category_id"),
        RELATED_ITEMS: _named(related, "item_id", "related_id"),
        PREFERENCES: _named(preferences, "user_id", "category_id"),
        FOLLOWS: _named(follows, "follower_id", "followee_id").drop("weight"),
        INTERACTIONS: pl.DataFrame(
            {
                "user_id": _column(graph.users).gather(did.user_index),
                "item_id": _column(graph.items).gather(did.item_index),
                "event": events.gather(did.event_index.astype(np.int64)),
                "value": did.weight.astype(np.float64),
                "timestamp": times.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
            }
        ),
    }


def _column(ids: IdMap) -> pl.Series:
    return pl.Series(list(ids), dtype=pl.String)


def _links(edges: Edges, sources: IdMap, targets: IdMap) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": _column(sources).gather(edges.source),
            "target": _column(targets).gather(edges.target),
            "weight": edges.weight.astype(np.float64),
        }
    )


def _named(links: pl.DataFrame, source: str, target: str) -> pl.DataFrame:
    return links.rename({"source": source, "target": target})
