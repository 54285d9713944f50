"""How recent, popular and diverse the first path of each item is, with the choice and without it.

LIR, SEP and ETD of Balloccu, Boratto, Fenu & Marras 2022, "Post Processing Recommender Systems with
Knowledge Graphs for Recency, Popularity, and Diversity of Explanations", §3, for one path an item.
"""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway
from recsvc.answer import Answer, Path
from recsvc.commands.connecting import make_engine
from recsvc.evaluation.metrics import accuracy, bootstrap
from recsvc.explain.contributions import ExactScores
from recsvc.explain.paths import strength_steps
from recsvc.recommend.engine import Engine
from recsvc.recommend.query import RecommendationQuery, StatedEvidence
from recsvc.recommend.ranked_list import Listing
from recsvc.settings import Settings

BETA = 0.3
"""Weight of a value in the moving average, of recency and of popularity."""
HIDDEN = 0.2
LEAST = 5
PATIENCE_SECONDS = 60.0
AT_ONCE = 8
WAYS = ("by strength alone", "chosen")
INTERACTIONS = Query(
    "benchmark/interactions", "", "read", {"user_ids": "list[str]"}, {},
    "UNWIND $user_ids AS id MATCH (u:User {user_id: id}) RETURN id, COLLECT {"
    " MATCH (u)-[r:INTERACTED]->(i:Item) RETURN [i.item_id, r.event,"
    " toFloat(coalesce(r.weight, 1.0)), r.last_at.epochMillis / 1000.0]"
    " ORDER BY i.item_id, r.event } AS did",
)  # fmt: skip
DEGREES = Query(
    "benchmark/degrees", "", "read", {}, {},
    "MATCH (c:Category)"
    " RETURN 'category' AS kind, c.category_id AS id, COUNT { (c)<-[:IN_CATEGORY]-() } AS degree"
    " UNION ALL MATCH (u:User)"
    " RETURN 'user' AS kind, u.user_id AS id, COUNT { (u)-[:INTERACTED]->() } AS degree"
    " UNION ALL MATCH (i:Item)"
    " RETURN 'item' AS kind, i.item_id AS id, COUNT { (i)<-[:INTERACTED]-() } AS degree",
)  # fmt: skip

Did = Sequence[tuple[str, str, float, float | None]]
"""Item, event, stored weight and time of what one user did."""
Kind = tuple[str, ...]
"""The types of a path's relationships."""


@dataclass
class Way:
    """What is measured of the answers made in one way, a value for each user.

    Attributes:
        recency: mean LIR of the items; NaN where no first path starts at something with a time.
        popularity: mean SEP; NaN where nothing that a reader can name links any item.
        types: kinds of first paths.
        possible: kinds of all paths that were found.
        ndcg: of the items that were hidden from the request.
        lists: the items.
        first: the first path of each item.
        tied: of each item with paths, whether two are equally strong.
    """

    recency: list[float] = field(default_factory=list[float])
    popularity: list[float] = field(default_factory=list[float])
    types: list[set[Kind]] = field(default_factory=list[set[Kind]])
    possible: set[Kind] = field(default_factory=set[Kind])
    ndcg: list[float] = field(default_factory=list[float])
    lists: list[list[str]] = field(default_factory=list[list[str]])
    first: list[Path | None] = field(default_factory=list[Path | None])
    tied: list[bool] = field(default_factory=list[bool])


def print_linking_paths(
    settings: Settings, gateway: Neo4jGateway, users: Sequence[str], k: int, seed: int
) -> None:
    """Ask for all users in both ways, and compare."""
    ways = dict(zip(WAYS, asyncio.run(_asked(settings, gateway, users, k, seed)), strict=True))
    before, after = ways.values()
    shown = [path for path in after.first if path is not None]
    changed = [a != b for a, b in zip(before.first, after.first, strict=True) if b is not None]
    same = [a == b for a, b in zip(before.lists, after.lists, strict=True)]
    print(f"items with a path: {len(shown):,} of {len(after.first):,}")
    print(f"two paths are equally strong for {np.mean(after.tied):.1%} of them, and by the choice "
          f"another one comes first for {np.mean(changed):.1%}")  # fmt: skip
    print(f"lists that stay the same: {np.mean(same):.2%} of {len(same):,}")
    possible = min(k, len(before.possible | after.possible))
    for name, values in {
        "LIR, recency of what the path starts at": [way.recency for way in ways.values()],
        "SEP, popularity of what links the item": [way.popularity for way in ways.values()],
        f"ETD, kinds of paths of {possible}": [
            [len(types) / possible for types in way.types] for way in ways.values()
        ],
        f"NDCG@{k} of a fifth that is hidden": [way.ndcg for way in ways.values()],
    }.items():
        _print_pair(name, np.array(values))


def _print_pair(name: str, values: NDArray[np.float64]) -> None:
    """Both ways and by how much they differ, over the users who have a value in both."""
    known = values[:, np.isfinite(values).all(axis=0)]
    if not known.shape[1]:
        print(f"{name}: n/a, not defined for any of {values.shape[1]:,} users")
        return
    columns = {WAYS[0]: known[0], WAYS[1]: known[1], "difference": known[1] - known[0]}
    said = ", ".join(
        f"{way} {estimate.mean:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"
        for way, estimate in bootstrap(columns, 1000, 0).items()
    )
    print(f"{name}: {said}, {known.shape[1]:,} users")


async def _asked(
    settings: Settings, gateway: Neo4jGateway, users: Sequence[str], k: int, seed: int
) -> tuple[Way, Way]:
    rng = np.random.default_rng(seed)
    degrees: dict[str, dict[str, float]] = {}
    for row in gateway.run(DEGREES):
        degrees.setdefault(row["kind"], {})[row["id"]] = row["degree"]
    popularity = {kind: smoothed(values) for kind, values in degrees.items()}
    ways = Way(), Way()
    engine = make_engine(settings, timeout_seconds=PATIENCE_SECONDS)
    await engine.start()
    try:
        for begin in track(range(0, len(users), AT_ONCE), "linking paths"):
            rows = gateway.run(INTERACTIONS, user_ids=list(users[begin : begin + AT_ONCE]))
            did: dict[str, Did] = {row["id"]: row["did"] for row in rows}
            hidden = {user: _hidden(rows, rng) for user, rows in did.items()}
            for way, made in zip(ways, (by_strength_alone(), nullcontext()), strict=True):
                with made, patch.object(Listing, "removals", _no_removals):
                    await _ask(engine, did, hidden, k, popularity, way)
    finally:
        await engine.stop()
    return ways


def by_strength_alone() -> AbstractContextManager[Any]:
    """Paths as they come without a choice: the strongest first, else in the order they are read."""
    return patch.multiple("recsvc.explain.paths", strength_steps=np.abs, preference=_none)


def _no_removals(_listing: Listing, exact: ExactScores) -> tuple[None, ...]:
    """Counterfactuals take most of the time of an answer, and nothing here looks at them."""
    return (None,) * len(exact.items)


def _none(*_arguments: object) -> tuple[()]:
    return ()


async def _ask(
    engine: Engine, did: Mapping[str, Did], hidden: Mapping[str, frozenset[str]], k: int,
    popularity: Mapping[str, Mapping[str, float]], way: Way,
) -> None:  # fmt: skip
    query = RecommendationQuery(k=k, explain="full")
    answers, unknown = await engine.recommend_many(list(did), query, lambda answer: answer)
    assert not unknown, unknown
    for answer, rows in zip(answers, did.values(), strict=True):
        assert not answer.degraded, answer.degraded
        _measure(answer, rows, popularity, way)
    asked = [user for user in did if hidden[user]]
    lists = await asyncio.gather(
        *(engine.recommend_for(_stated(did[user], hidden[user]), query) for user in asked)
    )
    for user, answer in zip(asked, lists, strict=True):
        hits = np.zeros((1, k), bool)
        hits[0, : len(answer.items)] = [item.item_id in hidden[user] for item in answer.items]
        way.ndcg.append(float(accuracy(hits, np.array([len(hidden[user])]))["ndcg"][0]))


def _measure(
    answer: Answer, did: Did, popularity: Mapping[str, Mapping[str, float]], way: Way
) -> None:
    newest: dict[str, float] = {}
    for item_id, _, _, at in did:
        if at is not None:
            newest[item_id] = max(at, newest.get(item_id, at))
    recency = smoothed(newest)
    found = [item.explanation.paths if item.explanation else None for item in answer.items]
    first = [paths[0] if paths else None for paths in found]
    shown = [path for path in first if path is not None]
    way.lists.append([item.item_id for item in answer.items])
    way.first += first
    way.tied += [_tied(paths) for paths in found if paths]
    way.types.append({_kind(path) for path in shown})
    way.possible |= {_kind(path) for paths in found for path in paths or ()}
    way.recency.append(_mean(recency.get(str(path.nodes[1].id)) for path in shown))
    way.popularity.append(
        _mean(popularity[node.kind].get(str(node.id)) for node in (p.nodes[-2] for p in shown))
    )


def _kind(path: Path) -> Kind:
    return tuple(step["type"] for step in path.relationships)


def _tied(paths: Sequence[Path]) -> bool:
    steps = strength_steps(np.array([path.contribution for path in paths]))
    return int((steps == steps.max()).sum()) > 1


def _mean(values: Iterable[float | None]) -> float:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else np.nan


def _hidden(did: Did, rng: np.random.Generator) -> frozenset[str]:
    """A fifth of what a user did something with; nothing where that is too little."""
    items = sorted({row[0] for row in did})
    count = round(HIDDEN * len(items)) if len(items) >= LEAST else 0
    return frozenset(rng.permutation(items)[:count].tolist())


def _stated(did: Did, hidden: frozenset[str]) -> list[StatedEvidence]:
    return [StatedEvidence(row[0], row[1], row[2]) for row in did if row[0] not in hidden]


def smoothed(values: Mapping[str, float]) -> dict[str, float]:
    """The exponentially weighted moving average of values in ascending order, from 0 to 1.

    s_1 = v_1, s_i = (1 - β) s_{i-1} + β v_i, then scaled so that the least is 0 and the largest 1;
    of equal values each counts as the last of them. Empty where all are equal.
    """
    order = sorted(values, key=values.__getitem__)
    if not order or values[order[0]] == values[order[-1]]:
        return {}
    average, by_value = values[order[0]], dict[float, float]()
    for key in order:
        average += BETA * (values[key] - average)
        by_value[values[key]] = average
    low, high = min(by_value.values()), max(by_value.values())
    return {key: (by_value[value] - low) / (high - low) for key, value in values.items()}
