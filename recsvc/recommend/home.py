"""Several titled rows for a user, no item twice: what carries their scores, what is new, popular.

The best items are dealt out by the piece of evidence that carries most of each score: a row for
each of the liked items that carry most in all, one for the people the user follows. Then comes what
is new, and what is popular.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from loaders.errors import Neo4jAwayError
from recsvc.answer import Answer, NodeRef, RankedItem, item_document
from recsvc.evidence import Evidence
from recsvc.explain.sentence import because_of
from recsvc.graph.store import Store
from recsvc.phrases import TextSettings
from recsvc.recommend.asker_reader import AskerReader
from recsvc.recommend.query import STATED, RecommendationQuery
from recsvc.scenarios.document import Condition, Scenario
from recsvc.snapshot.arrays import Snapshot

if TYPE_CHECKING:
    from recsvc.recommend.engine import Engine

ROW_ITEMS: Final = 10
"""Most items of a row."""
BEST: Final = 100
"""How many of the best, new and popular items rows are made of."""
_LEAST_ITEMS = 3
_BECAUSE_ROWS = 3
_CATEGORY_ROWS = 2
_NEW_DAYS = 30.0


@dataclass(frozen=True, slots=True)
class HomeRow:
    """One row.

    Attributes:
        kind: `because`, `people`, `new` or `popular`.
        title: what stands above it.
        evidence: what its items are there for; None where that is not one thing.
        recommendation_id: of the list that they come from, for outcomes.
        items: best first, ranked within the row.
    """

    kind: str
    title: str
    evidence: NodeRef | None
    recommendation_id: str | None
    items: tuple[RankedItem, ...]


@dataclass(frozen=True, slots=True)
class CategoryOfItems:
    """A category that some items of a home are in.

    Attributes:
        node: the category, with its name.
        items: ids of those of the items that are in it.
        size: how many of all items are in it, 1 at least.
    """

    node: NodeRef
    items: frozenset[str]
    size: int


@dataclass(frozen=True, slots=True)
class Home:
    """What is shown to a user who asks for nothing in particular.

    Attributes:
        best: the answer that rows of evidence are dealt out of.
        degraded: what could not be read for any row.
        rows: in their order.
    """

    best: Answer
    degraded: tuple[str, ...]
    rows: tuple[HomeRow, ...]


async def home(
    engine: "Engine", store: Store, askers: AskerReader, text: TextSettings, user_id: str
) -> Home:
    """Several titled rows for a user, no item twice.

    Args:
        engine: makes the lists.
        store: the graph.
        askers: reads who asks.
        text: what titles are put together from.
        user_id: the user.

    Raises:
        NotFoundError: there is no such user.
        BusyError: as much as can be done is in hand.
        SnapshotError: nothing has been refreshed yet.
    """
    snapshot = engine.snapshot
    signals = [signal.name for signal in snapshot.blend.signals]
    query = RecommendationQuery(k=BEST, stated=STATED)
    best, new, popular, (asker, _) = await asyncio.gather(
        engine.recommend(user_id, query),
        engine.recommend(user_id, query, scenario=new_items()),
        engine.recommend(user_id, query, scenario=popular_items(signals)),
        askers.asker(user_id, snapshot),
    )
    categories = await _categories_of(store, snapshot, (*best.items, *new.items))
    return home_of(best, new, popular, asker.evidence, text, categories, len(snapshot.items))


async def _categories_of(
    store: Store, snapshot: Snapshot, items: Sequence[RankedItem]
) -> list[CategoryOfItems]:
    """The categories of some items; none where they cannot be read in time."""
    try:
        rows = await store.categories_of_items([item.item_id for item in items])
    except Neo4jAwayError:
        return []
    size = snapshot.in_category.getnnz(axis=0)
    categories: list[CategoryOfItems] = []
    for each in rows:
        row = snapshot.categories.row(each["category_id"])
        node = NodeRef("category", each["category_id"], each["name"])
        count = max(1, int(size[row])) if row >= 0 else 1
        categories.append(CategoryOfItems(node, frozenset(each["item_ids"]), count))
    return categories


def home_document(home: Home, took_ms: float) -> dict[str, Any]:
    """A home as JSON-ready values.

    Args:
        home: the home.
        took_ms: how long it took.
    """
    rows = [
        {
            "kind": row.kind, "title": row.title, "evidence": row.evidence,
            "recommendation_id": row.recommendation_id,
            "items": [item_document(item) for item in row.items],
        }
        for row in home.rows
    ]  # fmt: skip
    best = home.best
    return {
        "request_id": best.request_id, "user_id": best.user_id, "versions": best.versions,
        "degraded": home.degraded, "took_ms": took_ms, "rows": rows,
    }  # fmt: skip


def new_items() -> Scenario:
    """What came lately."""
    newer = Condition.model_validate({"property": "created_at", "newer_than_days": _NEW_DAYS})
    return Scenario(filters=[newer])


def popular_items(signals: Iterable[str]) -> Scenario:
    """The list that is the same for everybody: popularity alone counts."""
    return Scenario(weights=dict.fromkeys(signals, 0.0))


def home_of(
    best: Answer, new: Answer, popular: Answer, evidence: Evidence, text: TextSettings,
    categories: Sequence[CategoryOfItems] = (), item_count: int = 1,
) -> Home:  # fmt: skip
    """The rows, those of evidence first.

    Args:
        best: the best items of the user, with contributions.
        new: the best of what came lately.
        popular: what is popular.
        evidence: of the user.
        text: what titles are put together from.
        categories: of the best and the new items.
        item_count: of all items.
    """
    listed: set[str] = set()
    rows: list[HomeRow] = []

    def add(
        kind: str, title: str, answer: Answer, items: Iterable[RankedItem],
        node: NodeRef | None = None,
    ) -> None:  # fmt: skip
        left = [item for item in items if item.item_id not in listed][:ROW_ITEMS]
        if len(left) >= _LEAST_ITEMS:
            listed.update(item.item_id for item in left)
            ranked = tuple(replace(item, rank=rank) for rank, item in enumerate(left, start=1))
            rows.append(HomeRow(kind, title, node, answer.recommendation_id, ranked))

    carried, people = _dealt(best.items)
    totals = {node: sum(value for _, value in some) for node, some in carried.items()}
    event = {node.id: node.event for node in evidence.nodes if node.kind == "item"}
    for node in sorted(totals, key=lambda each: (-totals[each], str(each.id)))[:_BECAUSE_ROWS]:
        title = because_of(node, event.get(str(node.id)), text)
        add("because", title, best, (item for item, _ in carried[node]), node)
    add("people", text.home_people, best, people)
    if "scenario" not in new.degraded:  # else nobody could tell what is new
        for each in _liked(categories, best, item_count):
            inside = [item for item in new.items if item.item_id in each.items]
            title = text.home_new_in.format(category=each.node.title)
            add("new", title, new, inside[:ROW_ITEMS], each.node)
        add("new", text.home_new, new, new.items)
    add("popular", text.home_popular, popular, popular.items)
    degraded = dict.fromkeys(each for answer in (best, new, popular) for each in answer.degraded)
    return Home(best, tuple(degraded), tuple(rows))


def _liked(
    categories: Sequence[CategoryOfItems], best: Answer, item_count: int
) -> list[CategoryOfItems]:
    """The categories that say most of somebody: n · log(N / size), n of the best items in each."""
    ids = {item.item_id for item in best.items}
    weight = {
        each.node: len(each.items & ids) * math.log(max(1.0, item_count / each.size))
        for each in categories
        if len(each.items & ids) >= _LEAST_ITEMS
    }
    liked = [each for each in categories if weight.get(each.node, 0.0) > 0.0]
    return sorted(liked, key=lambda each: (-weight[each.node], str(each.node.id)))[:_CATEGORY_ROWS]


def _dealt(
    items: Sequence[RankedItem],
) -> tuple[dict[NodeRef, list[tuple[RankedItem, float]]], list[RankedItem]]:
    """Items by the liked item that carries most of each, and those that people carry most of."""
    carried: defaultdict[NodeRef, list[tuple[RankedItem, float]]] = defaultdict(list)
    people: list[RankedItem] = []
    for item in items:
        by_node: defaultdict[NodeRef | None, float] = defaultdict(float)
        for each in item.explanation.contributions if item.explanation else ():
            if each.evidence.kind in ("item", "user"):
                by_node[each.evidence if each.evidence.kind == "item" else None] += each.value
        node = max(by_node, key=lambda each: by_node[each], default=None)
        if not by_node or by_node[node] <= 0.0:
            continue
        if node is None:
            people.append(item)
        else:
            carried[node].append((item, by_node[node]))
    return carried, people
