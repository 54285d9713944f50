"""A made graph of any size: power laws, communities, follows, categories.

For n interactions there are n / 50 users, n / 100 items, three follows a user and n / 5,000
categories under n / 50,000 parents. Half of the users have 29 items or fewer, one in 100 has 290.
A user belongs to three communities out of n / 20,000, follows people of the first one, and takes
one item in six from all items. Both a community's items and all items are taken by a power law of
their rank. An item is in a category of its community, one in five in any. Times are drawn evenly
from one year.
"""

from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Int64
from numpy.typing import NDArray

from loaders.types import Edges, HeteroGraph, IdMap, Interactions

_Rows = Int64[NDArray[np.int64], " n"]

_MOST_ITEMS, _LEAST_ITEMS = 2000, 3
_SPREAD = 1.05
_POPULARITY = 0.8
_FROM_ALL = 1 / 6
_OWN_COMMUNITIES = (0.6, 0.3, 0.1)
_FOLLOWS = 3
_YEAR = 365 * 86_400
_BEGAN = 1_700_000_000


def made_graph(interactions: int, seed: int = 0) -> HeteroGraph:
    """The graph as arrays, of about so many interactions.

    Args:
        interactions: 10,000 or more.
        seed: of everything.
    """
    generator = np.random.default_rng(seed)
    n_users, n_items = interactions // 50, interactions // 100
    communities = max(4, interactions // 20_000)
    community_of = generator.integers(communities, size=n_items)
    member_of = generator.integers(communities, size=(n_users, len(_OWN_COMMUNITIES)))
    users, items = _interactions(generator, interactions, community_of, member_of)
    at = _BEGAN + generator.integers(_YEAR, size=len(users)).astype(np.float64)
    did = Interactions(
        users, items, np.zeros(len(users), np.int8), np.ones(len(users)), at, ("interaction",)
    )
    leaves, parents = max(8, interactions // 5000), max(2, interactions // 50_000)
    of_community = leaves // communities
    leaf = community_of * of_community + generator.integers(of_community, size=n_items)
    anywhere = generator.random(n_items) < 0.2
    leaf[anywhere] = generator.integers(leaves, size=int(anywhere.sum()))
    up = np.arange(leaves)
    return HeteroGraph(
        _ids("u", n_users),
        _ids("i", n_items),
        _ids("c", leaves + parents),
        did,
        follows=_follows(generator, member_of[:, 0]),
        in_category=_edges(np.arange(n_items), leaf),
        subcategory_of=_edges(up, leaves + up % parents),
    )


def write_tables(graph: HeteroGraph, folder: Path) -> None:
    """The same as tables that `recsvc ingest` reads, in Parquet."""
    users, items, categories = (
        pl.Series(list(ids)) for ids in (graph.users, graph.items, graph.categories)
    )
    did = graph.interactions
    pl.DataFrame(
        {
            "user_id": users.gather(did.user_index),
            "item_id": items.gather(did.item_index),
            "timestamp": did.last_at.astype(np.int64),
        }
    ).write_parquet(folder / "interactions.parquet")
    pl.DataFrame({"item_id": items, "title": "Item " + items.str.slice(1)}).write_parquet(
        folder / "items.parquet"
    )
    for name, edges, source, target in (
        ("follows", graph.follows, ("follower_id", users), ("followee_id", users)),
        ("item_categories", graph.in_category, ("item_id", items), ("category_id", categories)),
    ):
        pl.DataFrame(
            {source[0]: source[1].gather(edges.source), target[0]: target[1].gather(edges.target)}
        ).write_parquet(folder / f"{name}.parquet")
    parent = np.full(len(categories), -1)
    parent[graph.subcategory_of.source] = graph.subcategory_of.target
    pl.DataFrame(
        {
            "category_id": categories,
            "name": "Category " + categories.str.slice(1),
            "parent_id": [categories[int(row)] if row >= 0 else None for row in parent],
        }
    ).write_parquet(folder / "categories.parquet")


def _interactions(
    generator: np.random.Generator, count: int, community_of: _Rows, member_of: _Rows
) -> tuple[_Rows, _Rows]:
    """Users and items of the interactions, each pair once, sorted."""
    n_users, n_items = len(member_of), len(community_of)
    raw = np.exp(generator.normal(0.0, _SPREAD, n_users))
    wanted = np.clip(raw * (count / raw.sum()), _LEAST_ITEMS, min(_MOST_ITEMS, n_items // 4))
    # More are drawn than are wanted, since some pairs come twice.
    drawn = (1.5 * wanted + 1.0).astype(np.int64)
    user = np.repeat(np.arange(n_users), drawn)
    taken = generator.choice(len(_OWN_COMMUNITIES), size=len(user), p=_OWN_COMMUNITIES)
    community = member_of[user, taken]
    order = np.argsort(community_of, kind="stable")
    begin = np.searchsorted(community_of[order], np.arange(community_of.max() + 2))
    size = np.diff(begin)
    weight = (1.0 + np.arange(n_items) - np.repeat(begin[:-1], size)) ** -_POPULARITY
    item = _drawn_within(generator, weight, begin, community)
    everywhere = generator.random(len(user)) < _FROM_ALL
    by_rank = (1.0 + generator.permutation(n_items)) ** -_POPULARITY
    whole = np.zeros(int(everywhere.sum()), np.int64)
    item[everywhere] = _drawn_within(generator, by_rank, np.array([0, n_items]), whole)
    pair = user * n_items + order[item]
    _, first = np.unique(pair, return_index=True)
    pair = pair[np.sort(first)]
    own = pair // n_items
    # Of each user as many as wanted, those drawn first.
    start = np.searchsorted(own, np.arange(n_users))
    pair = np.sort(pair[np.arange(len(pair)) - start[own] < wanted[own]])
    return pair // n_items, pair % n_items


def _drawn_within(
    generator: np.random.Generator,
    weight: NDArray[np.floating],
    begin: _Rows,
    group: _Rows,
) -> _Rows:
    """For each group named one of its items, by weight; an empty group gives the one after it."""
    running = np.concatenate([[0.0], np.cumsum(weight)])
    low, high = running[begin[group]], running[begin[group + 1]]
    drawn = low + generator.random(len(group)) * (high - low)
    return np.minimum(np.searchsorted(running, drawn, side="right") - 1, len(weight) - 1)


def _follows(generator: np.random.Generator, community: _Rows) -> Edges:
    """Each user follows some of the same community, the first of it most."""
    n_users = len(community)
    order = np.argsort(community, kind="stable")
    begin = np.searchsorted(community[order], np.arange(community.max() + 2))
    size = np.diff(begin)
    weight = (1.0 + np.arange(n_users) - np.repeat(begin[:-1], size)) ** -_POPULARITY
    source = np.repeat(np.arange(n_users), _FOLLOWS)
    target = order[_drawn_within(generator, weight, begin, community[source])]
    pair = np.unique((source * n_users + target)[source != target])
    return _edges(pair // n_users, pair % n_users)


def _ids(letter: str, count: int) -> IdMap:
    return IdMap([f"{letter}{number:08}" for number in range(count)])


def _edges(source: _Rows, target: _Rows) -> Edges:
    return Edges(source.astype(np.int64), target.astype(np.int64), np.ones(len(source)))
