"""The analysts' questions on Last.fm, each answer counted again from the tables by polars or numpy.

What Last.fm has none of (times, kinds of events, faults) is planted in a transaction that is rolled
back.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import nbformat
import networkx as nx
import numpy as np
import polars as pl
import pytest
from nbclient import NotebookClient
from scipy.sparse.linalg import svds

from loaders.catalogue import Query, catalogue
from loaders.datasets.lastfm import LastfmTables
from loaders.gateway import Neo4jAddress, Neo4jGateway, Row
from loaders.ingest import ingest
from loaders.tables import CATEGORIES, FOLLOWS, INTERACTIONS, ITEM_CATEGORIES, ITEMS
from loaders.types import EmbeddingTable, IdMap
from loaders.writeback import (
    activate,
    begin_version,
    mark_ready,
    write_similar,
    write_vectors,
)
from recsvc.analyst.notebook import notebook
from recsvc.analyst.questions import questions, values
from recsvc.settings import load_settings
from recsvc.signals.embedding import nearest_items
from tests.conftest import _DELETE_ALL

pytestmark = [pytest.mark.neo4j, pytest.mark.slow]

USER, OTHER, ITEM, OTHER_ITEM = "2", "275", "289", "701"
DIMENSIONS, NEIGHBOURS, KNOWN = 16, 5, 5
ASKED = set(re.findall(r'ask(?:_planted)?\("(\w+)"', Path(__file__).read_text(encoding="utf-8")))


@dataclass(frozen=True)
class Lastfm:
    """Last.fm in Neo4j and in memory.

    Attributes:
        did: user, item, weight.
        tagged: item, category, weight.
        follows: follower, followee.
        title: of each item.
        vectors: of the slots a and b, by item and by user.
        near: of each model: item, rank, other, score.
    """

    gateway: Neo4jGateway
    did: pl.DataFrame
    tagged: pl.DataFrame
    follows: pl.DataFrame
    title: Mapping[str, str]
    category: Mapping[str, str]
    vectors: Mapping[str, tuple[dict[str, Any], dict[str, Any]]]
    near: Mapping[str, pl.DataFrame]

    def ask(self, name: str, **parameters: Any) -> list[Row]:
        """The answer to a question, with the examples' values but for some."""
        return self.gateway.run(catalogue()[f"analyst/{name}"], **_given(name, parameters))

    def ask_planted(self, name: str, planted: str, **parameters: Any) -> list[Row]:
        """The same in a graph that has some more."""
        write = Query("tests/planted", "", "write", {}, {}, planted)  # pyright: ignore[reportArgumentType]

        def work(transaction: Any) -> list[Row]:
            transaction.run(write)
            return transaction.run(catalogue()[f"analyst/{name}"], **_given(name, parameters))

        return self.gateway.rehearse(work)

    @cached_property
    def people(self) -> dict[str, int]:
        """How many have each item, 0 too."""
        counts = dict.fromkeys(self.title, 0)
        return counts | dict(self.did.group_by("item").len().iter_rows())

    @cached_property
    def items(self) -> dict[str, set[str]]:
        """What each user has."""
        return {u: set(i) for u, i in self.did.group_by("user").agg("item").iter_rows()}

    @cached_property
    def tags(self) -> dict[str, set[str]]:
        """The categories of each item."""
        return {i: set(c) for i, c in self.tagged.group_by("item").agg("category").iter_rows()}


def _given(name: str, parameters: Mapping[str, Any]) -> dict[str, Any]:
    declared = catalogue()[f"analyst/{name}"].params
    assert parameters.keys() <= declared.keys()
    known = values(load_settings().events)
    return {key: parameters.get(key, known[key]) for key in declared}


@pytest.fixture(scope="module")
def lastfm(session_gateway: Neo4jGateway, tmp_path_factory: pytest.TempPathFactory) -> Lastfm:
    gateway, tables = session_gateway, LastfmTables()
    gateway.run(_DELETE_ALL)
    ingest(gateway, tables, rejects=tmp_path_factory.mktemp("lastfm") / "rejects.csv")

    def frame(spec: Any) -> pl.DataFrame:
        return pl.concat(tables.batches(spec, lambda *_: pytest.fail("a row was rejected")))

    did = frame(INTERACTIONS).select(user="user_id", item="item_id", weight="value")
    title = dict(frame(ITEMS).select("item_id", "title").iter_rows())
    vectors = _vectors(did, title)
    near = _write_vectors(gateway, vectors)
    return Lastfm(
        gateway,
        did,
        frame(ITEM_CATEGORIES).select("weight", item="item_id", category="category_id"),
        frame(FOLLOWS).select(follower="follower_id", followee="followee_id"),
        title,
        dict(frame(CATEGORIES).select("category_id", "name").iter_rows()),
        vectors,
        near,
    )


def _vectors(
    did: pl.DataFrame, title: Mapping[str, str]
) -> dict[str, tuple[dict[str, Any], dict[str, Any]]]:
    """Singular vectors of the listens; in slot b turned around, and a little off.

    Of items that `KNOWN` people or more have.
    """
    users, items = sorted(did["user"].unique()), sorted(title)
    matrix = np.zeros((len(users), len(items)), np.float32)
    rows, columns = np.searchsorted(users, did["user"]), np.searchsorted(items, did["item"])
    matrix[rows, columns] = np.log1p(did["weight"].to_numpy())
    known = np.flatnonzero((matrix > 0).sum(0) >= KNOWN).tolist()
    rng = np.random.default_rng(3)
    left, value, right = svds(matrix, k=DIMENSIONS, v0=rng.normal(size=len(users)))
    a = (left * value).astype(np.float32), right.T.astype(np.float32)
    turn = np.linalg.qr(rng.normal(size=(DIMENSIONS, DIMENSIONS)))[0]
    b = [(x + 0.2 * x.std() * rng.normal(size=x.shape)) @ turn for x in a]
    return {
        slot: (
            dict(zip(users, u.astype(np.float32), strict=True)),
            {items[n]: w[n].astype(np.float32) for n in known},
        )
        for slot, (u, w) in (("a", a), ("b", b))
    }


def _write_vectors(gateway: Neo4jGateway, vectors: Mapping[str, Any]) -> dict[str, pl.DataFrame]:
    """Two versions of lightgcn, in slots a and b, one of node2vec, and the lists of the newest."""
    near: dict[str, pl.DataFrame] = {}
    for model, newest in (("lightgcn", False), ("lightgcn", True), ("node2vec", True)):
        version = begin_version(gateway, model, run=f"{model} {newest}", seed=0, options={})
        assert version.slot == ("b" if model == "lightgcn" and newest else "a")
        users, items = vectors[version.slot]
        if model == "lightgcn":
            for label, table in (("User", users), ("Item", items)):
                array = np.stack(list(table.values()))
                write_vectors(gateway, version, EmbeddingTable(label, IdMap(list(table)), array))
        mark_ready(gateway, [(version, {"metrics": {"ndcg@20": 0.1}})])
        activate(gateway, [version])
        if newest:
            found = nearest_items(np.stack(list(items.values())), NEIGHBOURS)
            write_similar(gateway, version, IdMap(list(items)), *found)
            near[model] = _listed(list(items), *found)
    gateway.run(catalogue()["ingest/await_indexes"])
    return near


def _listed(items: list[str], neighbours: Any, scores: Any) -> pl.DataFrame:
    rows = [
        (item, rank, items[other], float(score))
        for item, others, cosines in zip(items, neighbours, scores, strict=True)
        for rank, (other, score) in enumerate(zip(others, cosines, strict=True), start=1)
    ]
    return pl.DataFrame(rows, schema=["item", "rank", "other", "score"], orient="row")


def best(scores: Mapping[Any, float], limit: int = 20) -> list[tuple[Any, float]]:
    """The highest first; ties by id."""
    return sorted(scores.items(), key=lambda pair: (-round(pair[1], 9), pair[0]))[:limit]


def pairs(rows: list[Row], key: str, value: str) -> list[tuple[Any, Any]]:
    return [(row[key], pytest.approx(row[value], rel=1e-6)) for row in rows]


def ids(path: Any) -> list[str]:
    return [n.get("user_id") or n.get("item_id") or n.get("category_id") for n in path.nodes]


# --- one user ---------------------------------------------------------------------------------


def test_why_item(lastfm: Lastfm) -> None:
    rows = lastfm.ask("why_item", limit=5)
    has, people, tags = lastfm.items, lastfm.people, lastfm.tags
    own = has[USER]
    assert ITEM not in own
    followed = set(lastfm.follows.filter(follower=USER)["followee"])
    size = lastfm.tagged.group_by("category").len()
    items_of = dict(size.iter_rows())
    ways: dict[str, dict[tuple[str, ...], float]] = {
        "people": {
            (USER, mine, person, ITEM): 1 / len(own) / people[mine] / len(items)
            for person, items in has.items() if ITEM in items and person != USER
            for mine in own & items
        },
        "follows": {
            (USER, person, ITEM): 1 / len(followed) / len(has[person])
            for person in followed if ITEM in has.get(person, ())
        },
        "categories": {
            (USER, mine, tag, ITEM): 1 / len(own) / len(tags[mine]) / items_of[tag]
            for mine in own for tag in tags.get(mine, set()) & tags[ITEM]
        },
    }  # fmt: skip
    assert {row["way"] for row in rows} == ways.keys()
    for way, chances in ways.items():
        found = [row for row in rows if row["way"] == way]
        assert len(found) == min(5, len(chances)) > 0
        assert [row["chance"] for row in found] == pytest.approx(
            sorted(chances.values(), reverse=True)[:5]
        )
        for row in found:
            assert chances[tuple(ids(row["path"]))] == pytest.approx(row["chance"])


def test_connections(lastfm: Lastfm) -> None:
    rows = lastfm.ask("connections", other_id="1892", limit=4)
    graph = nx.Graph(lastfm.follows.iter_rows())
    (chain,) = (row for row in rows if row["way"] == "chain of follows")
    expected = nx.shortest_path_length(graph, USER, "1892")
    assert expected > 1
    assert (len(chain["path"].relationships), chain["people"]) == (expected, expected + 1)
    shared = lastfm.items[USER] & lastfm.items["1892"]
    rare = sorted((lastfm.people[item], item) for item in shared)[:4]
    have = [(row["people"], ids(row["path"])[1]) for row in rows if row["way"] == "both have"]
    assert have == rare
    both = set(graph[USER]) & set(graph[OTHER])
    known = sorted((graph.degree[person], person) for person in both)[:4]
    rows = lastfm.ask("connections", limit=4)
    assert known
    found = [(row["people"], ids(row["path"])[1]) for row in rows if row["way"] == "both follow"]
    assert found == known


def test_central_items(lastfm: Lastfm) -> None:
    followers = lastfm.follows.filter(followee=USER)["follower"].to_list()
    chance: Counter[str] = Counter()
    for person in followers:
        for item in lastfm.items.get(person, ()):
            chance[item] += 1 / len(followers) / len(lastfm.items[person])
    rows = lastfm.ask("central_items")
    assert best(chance) == pairs(rows, "item_id", "chance")
    top = rows[0]
    assert top["followers"] == sum(top["item_id"] in lastfm.items.get(p, ()) for p in followers)
    assert top["title"] == lastfm.title[top["item_id"]]


def test_user_items(lastfm: Lastfm) -> None:
    weight = dict(lastfm.did.filter(user=USER).select("item", "weight").iter_rows())
    assert best(weight) == pairs(lastfm.ask("user_items"), "item_id", "weight")


def test_user_categories(lastfm: Lastfm) -> None:
    every = lastfm.did.join(lastfm.tagged, on="item").group_by("category").len()
    total, own = dict(every.iter_rows()), lastfm.items[USER]
    counts = Counter(tag for item in own for tag in lastfm.tags.get(item, ()))
    lift = {tag: n / len(own) * len(lastfm.did) / total[tag] for tag, n in counts.items() if n >= 5}
    rows = lastfm.ask("user_categories", least_items=5)
    assert best(lift) == pairs(rows, "category_id", "lift")
    assert rows[0]["name"] == lastfm.category[rows[0]["category_id"]]
    assert rows[0]["items"] == counts[rows[0]["category_id"]]


def test_followed_have(lastfm: Lastfm) -> None:
    followed = lastfm.follows.filter(follower=USER)["followee"]
    count = Counter(item for person in followed for item in lastfm.items.get(person, ()))
    new = {item: n for item, n in count.items() if item not in lastfm.items[USER]}
    assert best(new) == pairs(lastfm.ask("followed_have"), "item_id", "people")


def test_untouched_categories(lastfm: Lastfm) -> None:
    touched = {tag for item in lastfm.items[USER] for tag in lastfm.tags.get(item, ())}
    people: defaultdict[str, set[str]] = defaultdict(set)
    items: defaultdict[str, set[str]] = defaultdict(set)
    for person in lastfm.follows.filter(follower=USER)["followee"]:
        for item in lastfm.items.get(person, ()):
            for tag in lastfm.tags.get(item, set()) - touched:
                people[tag].add(person)
                items[tag].add(item)
    order = sorted(people, key=lambda tag: (-len(people[tag]), -len(items[tag]), tag))[:20]
    expected = [(tag, len(people[tag]), len(items[tag])) for tag in order]
    rows = lastfm.ask("untouched_categories")
    assert [(row["category_id"], row["people"], row["items"]) for row in rows] == expected


def test_taste_neighbours(lastfm: Lastfm) -> None:
    own = lastfm.items[USER]
    jaccard = {
        person: len(own & items) / len(own | items)
        for person, items in lastfm.items.items() if person != USER
    }  # fmt: skip
    rows = lastfm.ask("taste_neighbours")
    assert best(jaccard) == pairs(rows, "user_id", "jaccard")
    followed = set(lastfm.follows.filter(follower=USER)["followee"])
    assert [row["followed"] for row in rows] == [row["user_id"] in followed for row in rows]
    assert rows[0]["shared"] == len(own & lastfm.items[rows[0]["user_id"]])


def test_draw_user(lastfm: Lastfm) -> None:
    rows = lastfm.ask("draw_user", limit=4)
    weight = dict(lastfm.did.filter(user=USER).select("item", "weight").iter_rows())
    strongest = [item for item, _ in best(weight, 4)]
    assert sorted({ids(row["did"])[1] for row in rows}) == sorted(strongest)
    followed = set(lastfm.follows.filter(follower=USER)["followee"])
    for item in strongest:
        through = [ids(r["follows"]) for r in rows if r["follows"] and ids(r["did"])[1] == item]
        known = [person for person in followed if item in lastfm.items.get(person, ())]
        assert len(through) == min(3, len(known))
        assert all(path[0] == USER and path[1] in known for path in through)


def test_score_by_vector(lastfm: Lastfm) -> None:
    users, items = lastfm.vectors["b"]
    own = users[USER].astype(float)
    score = {i: float(own @ v) for i, v in items.items() if i not in lastfm.items[USER]}
    assert best(score) == pairs(lastfm.ask("score_by_vector"), "item_id", "score")


def test_nearest_users(lastfm: Lastfm) -> None:
    users = lastfm.vectors["b"][0]
    expected = dict(best(cosines(users, USER)))
    rows = lastfm.ask("nearest_users")
    near(rows, "user_id", expected)
    for row in rows:
        both = lastfm.items[USER] & lastfm.items[row["user_id"]]
        assert row["items_in_common"] == len(both)


def cosines(vectors: Mapping[str, Any], to: str) -> dict[str, float]:
    own = vectors[to] / np.linalg.norm(vectors[to])
    return {i: float(v @ own / np.linalg.norm(v)) for i, v in vectors.items() if i != to}


def near(rows: list[Row], key: str, expected: Mapping[str, float]) -> None:
    """The index is approximate and keeps vectors quantized."""
    found = {row[key]: row["cosine"] for row in rows}
    assert len(rows) == len(expected)
    assert len(found.keys() & expected.keys()) >= 0.8 * len(expected)
    for each in found.keys() & expected.keys():
        assert found[each] == pytest.approx(expected[each], abs=0.02)
    assert list(found.values()) == sorted(found.values(), reverse=True)


# --- one item ---------------------------------------------------------------------------------


def test_nearest_items(lastfm: Lastfm) -> None:
    expected = dict(best(cosines(lastfm.vectors["b"][1], ITEM)))
    rows = lastfm.ask("nearest_items")
    near(rows, "item_id", expected)
    assert rows[0]["people"] == lastfm.people[rows[0]["item_id"]]


def test_similar_items(lastfm: Lastfm) -> None:
    lists = defaultdict[str, set[str]](set)
    for item, other in lastfm.near["lightgcn"].select("item", "other").iter_rows():
        lists[item].add(other)
    expected = {(ITEM, one) for one in lists[ITEM]}
    expected |= {(ITEM, a, b) for a in lists[ITEM] for b in lists[a] if b != ITEM}
    rows = lastfm.ask("similar_items", limit=100)
    assert {tuple(ids(row["path"])) for row in rows} == expected
    first = lastfm.ask("similar_items", limit=NEIGHBOURS)
    assert {len(row["path"].relationships) for row in first} == {1}


def test_audience(lastfm: Lastfm) -> None:
    listed = lastfm.near["lightgcn"].filter(other=ITEM)
    score: Counter[str] = Counter()
    for other, cosine in listed.select("item", "score").iter_rows():
        for user in lastfm.did.filter(item=other)["user"]:
            score[user] += cosine
    new = {user: s for user, s in score.items() if ITEM not in lastfm.items[user]}
    rows = lastfm.ask("audience")
    assert best(new) == pairs(rows, "user_id", "score")
    near = set(listed["item"])
    assert rows[0]["items"] == len(near & lastfm.items[rows[0]["user_id"]])


def test_also_have(lastfm: Lastfm) -> None:
    having = {user for user, items in lastfm.items.items() if ITEM in items}
    count = Counter(item for user in having for item in lastfm.items[user])
    users = len(set(lastfm.did["user"]) | set(lastfm.follows["follower"]))
    lift = {
        item: n / len(having) * users / lastfm.people[item]
        for item, n in count.items() if n >= 30 and item != ITEM
    }  # fmt: skip
    rows = lastfm.ask("also_have", least_people=30)
    assert best(lift) == pairs(rows, "item_id", "lift")
    assert rows[0]["people"] == count[rows[0]["item_id"]]


def test_shared_categories(lastfm: Lastfm) -> None:
    items = dict(lastfm.tagged.group_by("category").len().iter_rows())
    both = lastfm.tags[ITEM] & lastfm.tags[OTHER_ITEM]
    expected = sorted((items[tag], tag) for tag in both)[:20]
    rows = lastfm.ask("shared_categories")
    assert [(row["items"], row["category_id"]) for row in rows] == expected
    assert len(rows) == 20


# --- models -----------------------------------------------------------------------------------


def exposure(lastfm: Lastfm) -> dict[str, float]:
    shown = dict.fromkeys(lastfm.title, 0.0)
    for rank, other in lastfm.near["lightgcn"].select("rank", "other").iter_rows():
        shown[other] += 1 / math.log2(rank + 1)
    return shown


def test_popularity_deciles(lastfm: Lastfm) -> None:
    people, shown = lastfm.people, exposure(lastfm)
    order = sorted(people, key=lambda item: (-people[item], item))
    decile = {item: 1 + place * 10 // len(order) for place, item in enumerate(order)}
    rows = lastfm.ask("popularity_deciles")
    assert [row["decile"] for row in rows] == list(range(1, 11))
    for row in rows:
        members = [item for item in order if decile[item] == row["decile"]]
        assert (row["items"], row["most_people"]) == (len(members), people[members[0]])
        share = [sum(c[i] for i in members) / sum(c.values()) for c in (people, shown)]
        assert [row["attention"], row["exposure"]] == pytest.approx(share)
    assert rows[0]["attention"] > 0.5


def test_exposure_by_category(lastfm: Lastfm) -> None:
    people, shown = lastfm.people, exposure(lastfm)
    by_tag: defaultdict[str, list[str]] = defaultdict(list)
    for item, tag in lastfm.tagged.select("item", "category").iter_rows():
        by_tag[tag].append(item)
    lift: dict[str, float] = {}
    for tag, items in by_tag.items():
        seen, had = (sum(c[i] for i in items) / sum(c.values()) for c in (shown, people))
        if len(items) >= 20 and had:
            lift[tag] = seen / had
    rows = lastfm.ask("exposure_by_category")
    assert best(lift) == pairs(rows, "category_id", "lift")
    assert rows[0]["items"] == len(by_tag[rows[0]["category_id"]])


def test_version_drift(lastfm: Lastfm) -> None:
    people = lastfm.people
    a, b = lastfm.vectors["a"][1], lastfm.vectors["b"][1]
    sample = sorted(a.keys() & b.keys(), key=lambda item: (-people[item], item))[:40]
    found: dict[str, tuple[float, float]] = {}
    for item in sample:
        cosine = [cosines({i: v[i] for i in sample}, item) for v in (a, b)]
        top = [{i for i, _ in best(c, 10)} for c in cosine]
        gap = np.mean([abs(cosine[0][i] - cosine[1][i]) for i in cosine[0]])
        found[item] = (len(top[0] & top[1]) / 10, float(gap))
    rows = lastfm.ask("version_drift", sample=40, limit=40)
    assert {row["item_id"] for row in rows} == set(sample)
    for row in rows:
        assert (row["same"], row["cosine_gap"]) == pytest.approx(found[row["item_id"]], abs=1e-5)
    assert [row["same"] for row in rows] == sorted(row["same"] for row in rows)
    assert 0.3 < np.mean([row["same"] for row in rows]) < 1.0


def test_models_agree(lastfm: Lastfm) -> None:
    one, two = lastfm.near["lightgcn"], lastfm.near["node2vec"]
    both = one.join(two, on=["item", "other"], suffix="_two")
    expected = {
        (item, other): [rank, rank_two]
        for item, other, rank, rank_two in both.select("item", "other", "rank", "rank_two").rows()
        if lastfm.people[item] >= 50
    }
    order = sorted(expected, key=lambda pair: (sum(expected[pair]), pair))[:20]
    rows = lastfm.ask("models_agree", least_people=50)
    assert [((r["item_id"], r["other_id"]), r["ranks"]) for r in rows] == [
        (pair, expected[pair]) for pair in order
    ]


def test_coverage(lastfm: Lastfm) -> None:
    rows = lastfm.ask("coverage")
    assert [row["model"] for row in rows] == ["lightgcn", "node2vec"]
    for row in rows:
        shown = Counter(lastfm.near[row["model"]]["other"])
        top = math.ceil(len(lastfm.title) / 100)
        assert row["lists"] == lastfm.near[row["model"]]["item"].n_unique()
        assert (row["reached"], row["share"]) == (len(shown), len(shown) / len(lastfm.title))
        most = sum(n for _, n in shown.most_common(top))
        assert row["top_share"] == pytest.approx(most / sum(shown.values()))


def test_cold_items(lastfm: Lastfm) -> None:
    listed = set(lastfm.near["lightgcn"]["other"])
    vectors = lastfm.vectors["b"][1]
    reasons = {
        item: [
            *(["nobody has it"] if not n else []),
            *(["in no category"] if item not in lastfm.tags else []),
            *(["no vector"] if item not in vectors else []),
            *(["near no other item"] if item not in listed else []),
        ]
        for item, n in lastfm.people.items() if n <= 5
    }  # fmt: skip
    order = sorted(reasons, key=lambda item: (-len(reasons[item]), lastfm.people[item], item))
    rows = lastfm.ask("cold_items", limit=50)
    assert [(r["item_id"], r["reasons"]) for r in rows] == [(i, reasons[i]) for i in order[:50]]
    planted = (
        "MATCH (v:EmbeddingVersion {model: 'lightgcn', status: 'active'}) "
        "CREATE (:Item {item_id: 'x', available: false, "
        "created_at: v.started_at + duration('P1D')})"
    )
    (row,) = lastfm.ask_planted("cold_items", planted, limit=1)
    assert row["reasons"] == [
        "nobody has it", "in no category", "no vector", "near no other item", "not available",
        "newer than the last refresh",
    ]  # fmt: skip


def test_newer_than_refresh(lastfm: Lastfm) -> None:
    planted = (
        "CREATE (new:Item {item_id: '!'}) WITH new MATCH (user:User) WITH new, user LIMIT 9 "
        "CREATE (user)-[:INTERACTED]->(new)"
    )
    without = {i: n for i, n in lastfm.people.items() if i not in lastfm.vectors["b"][1]}
    rows = lastfm.ask_planted("newer_than_refresh", planted)
    assert best(without | {"!": 9}) == pairs(rows, "item_id", "people")
    assert rows[0]["item_id"] == "!"


def test_versions(lastfm: Lastfm) -> None:
    found = [(r["model"], r["version"], r["status"], r["slot"]) for r in lastfm.ask("versions")]
    assert found == [
        ("lightgcn", 2, "active", "b"), ("lightgcn", 1, "retired", "a"),
        ("node2vec", 1, "active", "a"),
    ]  # fmt: skip


# --- the whole graph --------------------------------------------------------------------------


def test_communities(lastfm: Lastfm) -> None:
    links = [*lastfm.follows.iter_rows(), *((b, a) for a, b in lastfm.follows.iter_rows())]
    degree = Counter(a for a, _ in links)
    neighbours: defaultdict[str, list[str]] = defaultdict(list)
    for a, b in links:
        neighbours[a].append(b)
    label = {
        user: min((user, *near), key=lambda other: (-degree[other], other))
        for user, near in neighbours.items()
    }
    for _ in range(4):
        votes = {user: Counter(label[other] for other in near) for user, near in neighbours.items()}
        label = {u: min(v, key=lambda name: (-v[name], name)) for u, v in votes.items()}
    members: defaultdict[str, set[str]] = defaultdict(set)
    for user, name in label.items():
        members[name].add(user)
    order = sorted(members, key=lambda name: (-len(members[name]), name))[:20]
    rows = lastfm.ask("communities")
    assert [(row["community"], row["people"]) for row in rows] == [
        (name, len(members[name])) for name in order
    ]
    for row in rows:
        own = members[row["community"]]
        follows = [b in own for a, b in lastfm.follows.iter_rows() if a in own]
        assert row["inside"] == pytest.approx(sum(follows) / len(follows))
        count = Counter(item for user in own for item in lastfm.items.get(user, ()))
        assert row["items"] == [lastfm.title[item] for item, _ in best(count, 3)]
    assert len(rows) == 20
    assert rows[0]["people"] < len(label) / 2


def test_influence(lastfm: Lastfm) -> None:
    followers: defaultdict[str, list[str]] = defaultdict(list)
    for follower, followee in lastfm.follows.iter_rows():
        followers[followee].append(follower)
    most = sorted(followers, key=lambda user: (-len(followers[user]), user))[:100]
    shared = {
        user: float(
            np.mean([len(lastfm.items.get(f, set()) & own) / len(own) for f in followers[user]])
        )
        for user in most if (own := lastfm.items.get(user))
    }  # fmt: skip
    rows = lastfm.ask("influence")
    assert best(shared) == pairs(rows, "user_id", "shared")
    assert rows[0]["followers"] == len(followers[rows[0]["user_id"]])


def test_filter_bubbles(lastfm: Lastfm) -> None:
    strongest: dict[str, str] = {}
    ordered = lastfm.tagged.sort(["weight", "category"], descending=[True, False])
    for item, tag in ordered.select("item", "category").iter_rows():
        strongest.setdefault(item, tag)
    bits: dict[str, float] = {}
    top: dict[str, tuple[str, float]] = {}
    for user, items in lastfm.items.items():
        counts = Counter(strongest[item] for item in items if item in strongest)
        total = sum(counts.values())
        if total >= 20:
            bits[user] = -sum(n / total * math.log2(n / total) for n in counts.values())
            tag, n = min(counts.items(), key=lambda pair: (-pair[1], pair[0]))
            top[user] = (lastfm.category[tag], n / total)
    rows = lastfm.ask("filter_bubbles")
    expected = sorted(bits, key=lambda user: (round(bits[user], 9), user))[:20]
    assert [row["user_id"] for row in rows] == expected
    for row in rows:
        assert row["bits"] == pytest.approx(bits[row["user_id"]], abs=1e-9)
        assert (row["category"], row["share"]) == (
            top[row["user_id"]][0], pytest.approx(top[row["user_id"]][1]),
        )  # fmt: skip


def test_twin_accounts(lastfm: Lastfm) -> None:
    rare = lastfm.did.join(
        lastfm.did.group_by("item").len().filter(pl.col("len").is_between(2, 5)), on="item"
    )
    both = rare.join(rare, on="item", suffix="_two").filter(pl.col("user") < pl.col("user_two"))
    shared = both.group_by("user", "user_two").len().filter(pl.col("len") >= 3)
    jaccard: dict[tuple[str, str], float] = {}
    for one, two, _ in shared.iter_rows():
        items, other = lastfm.items[one], lastfm.items[two]
        jaccard[one, two] = len(items & other) / len(items | other)
    assert 20 < len(jaccard) <= 1000
    rows = lastfm.ask("twin_accounts")
    found = [((r["user_id"], r["other_id"]), pytest.approx(r["jaccard"])) for r in rows]
    assert best(jaccard) == found
    planted = (
        "MATCH (u:User {user_id: '2'})-[did:INTERACTED]->(item:Item) WHERE item.item_id <> '51' "
        "WITH collect(item) AS items CREATE (twin:User {user_id: '2 again'}) "
        "FOREACH (item IN items | "
        "CREATE (twin)-[:INTERACTED {event: 'listen', weight: 1.0}]->(item))"
    )
    top = lastfm.ask_planted("twin_accounts", planted, most_people=10)[0]
    assert (top["user_id"], top["other_id"], top["followed"]) == ("2", "2 again", False)
    assert top["jaccard"] == pytest.approx((len(lastfm.items[USER]) - 1) / len(lastfm.items[USER]))


def test_odd_accounts(lastfm: Lastfm) -> None:
    per_user = lastfm.did.group_by("user").agg(
        pl.col("weight").sum(), pl.len(), most=pl.col("weight").max()
    )
    share = {
        user: most / weight
        for user, weight, n, most in per_user.iter_rows() if weight >= 1000 and n > 1
    }  # fmt: skip
    rows = lastfm.ask("odd_accounts")
    assert best(share) == pairs(rows, "user_id", "share")
    own = lastfm.did.filter(user=rows[0]["user_id"]).sort("weight", descending=True)
    assert (rows[0]["item_id"], rows[0]["weight"]) == (own["item"][0], own["weight"].sum())


def test_hidden_gems(lastfm: Lastfm) -> None:
    whole = pl.col("weight") / pl.col("weight").sum().over("user")
    love = lastfm.did.with_columns(share=whole).group_by("item").agg(pl.len(), pl.mean("share"))
    expected = {item: mean for item, n, mean in love.iter_rows() if 3 <= n <= 5}
    rows = lastfm.ask("hidden_gems")
    assert best(expected) == pairs(rows, "item_id", "love")


def test_category_pairs(lastfm: Lastfm) -> None:
    tagged = lastfm.tagged.select("item", "category")
    size = dict(tagged.group_by("category").len().iter_rows())
    both = tagged.join(tagged, on="item", suffix="_two")
    both = both.filter(pl.col("category") < pl.col("category_two"))
    jaccard = {
        (one, two): n / (size[one] + size[two] - n)
        for one, two, n in both.group_by("category", "category_two").len().iter_rows() if n >= 20
    }  # fmt: skip
    rows = lastfm.ask("category_pairs")
    found = [((r["category_id"], r["other_id"]), pytest.approx(r["jaccard"])) for r in rows]
    assert best(jaccard) == found


DAY = "datetime('2026-01-31') - duration({days: %d})"


def event(user: str, item: str, event: str = "view", days: int = 0) -> str:
    return (
        f"MERGE (u:User {{user_id: '{user}'}}) MERGE (i:Item {{item_id: '{item}'}}) "
        f"CREATE (u)-[:INTERACTED {{event: '{event}', weight: 1.0, last_at: {DAY % days}}}]->(i) "
        "WITH 1 AS done "
    )


def planted(*events: str) -> str:
    return "".join(events) + "RETURN done"


def test_funnel(lastfm: Lastfm) -> None:
    seen = [event(f"p{n}", "x") for n in range(8)] + [event("p0", "y")]
    carts = [event(f"p{n}", "x", "cart") for n in range(4)]
    bought = [event("p0", "x", "purchase"), event("p7", "x", "purchase")]  # p7 had no cart
    rows = lastfm.ask_planted("funnel", planted(*seen, *carts, *bought))
    found = [(r["step"], r["event"], r["pairs"], r["users"], r["kept"]) for r in rows]
    assert found == [
        (1, "view", 9, 8, 1.0), (2, "cart", 4, 4, pytest.approx(4 / 9)),
        (3, "purchase", 1, 1, 0.25),
    ]  # fmt: skip
    (row,) = lastfm.ask("funnel", steps=["listen"])
    assert (row["pairs"], row["users"]) == (len(lastfm.did), lastfm.did["user"].n_unique())


def test_trending(lastfm: Lastfm) -> None:
    up = [event(f"p{n}", "up", days=n) for n in range(5)]
    down = [event(f"p{n}", "down", days=40 + n) for n in range(5)]
    again = [event("p0", "down", "cart", days=3), event("old", "old", days=90)]
    rows = lastfm.ask_planted("trending", planted(*up, *down, *again))
    found = [(row["item_id"], row["now"], row["before"], row["rise"]) for row in rows]
    assert found == [("up", 5, 0, 6.0), ("down", 1, 4, pytest.approx(2 / 5))]


def test_silent_users(lastfm: Lastfm) -> None:
    gone = [event("gone", f"x{n}", days=50 + n) for n in range(3)]
    back = [event("back", f"x{n}", days=100 * n) for n in range(3)]
    few = [event("few", "x1", days=80)]
    (row,) = lastfm.ask_planted("silent_users", planted(*gone, *back, *few), least_items=2)
    assert (row["user_id"], row["items"], row["silent_days"]) == ("gone", 3, 50)


def test_data_quality(lastfm: Lastfm) -> None:
    before = {row["fault"]: row for row in lastfm.ask("data_quality")}
    assert before["item in no category"]["count"] == len(lastfm.title.keys() - lastfm.tags.keys())
    assert before["item that nobody has"]["count"] == list(lastfm.people.values()).count(0)
    assert before["interaction without a time"]["count"] == len(lastfm.did)
    titles = Counter(title for title in lastfm.title.values() if title)
    several = sum(n > 1 for n in titles.values())
    assert before.get("title of several items", {"count": 0})["count"] == several
    names = Counter(name.strip().lower() for name in lastfm.category.values())
    several = sum(n > 1 for n in names.values())
    assert before.get("name of several categories", {"count": 0})["count"] == several
    assert lastfm.items.keys() == set(lastfm.follows["follower"])
    assert "user without an interaction" not in before
    faults = (
        "CREATE (u:User {user_id: 'u'})-[:FOLLOWS]->(u), (:Category {category_id: '!'}), "
        "(v:User {user_id: 'v'})-[:INTERACTED {weight: -1.0, "
        "last_at: datetime() + duration('P1D')}]->(:Item {item_id: '!'})"
    )
    after = {row["fault"]: row for row in lastfm.ask_planted("data_quality", faults)}
    some = {fault: row["count"] for fault, row in before.items()}
    more = {fault: row["count"] - some.get(fault, 0) for fault, row in after.items()}
    assert {fault: n for fault, n in more.items() if n} == dict.fromkeys(
        ("item without a title", "item in no category", "user without an interaction",
         "user who follows themselves", "category without an item", "interaction in the future",
         "interaction of negative weight"), 1,
    )  # fmt: skip
    assert after["category without an item"]["example"] == "!"
    assert [row["count"] for row in lastfm.ask("data_quality")] == sorted(
        (row["count"] for row in before.values()), reverse=True
    )


# --- all of them ------------------------------------------------------------------------------


def test_every_answer_is_bounded(lastfm: Lastfm) -> None:
    for question in questions():
        if "limit" in question.query.params and question.name not in ("why_item", "connections"):
            few = lastfm.gateway.run(question.query, **_given(question.name, {"limit": 2}))
            assert len(few) <= (6 if question.name == "draw_user" else 2), question.name


def test_the_notebook_runs_and_shows_the_answers(
    lastfm: Lastfm,
    neo4j_address: Neo4jAddress,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    given = {"URI": neo4j_address.uri, "USER": neo4j_address.user}
    for name, value in (given | {"PASSWORD": neo4j_address.password}).items():
        monkeypatch.setenv(f"RECSVC_NEO4J_{name}", value)
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    text = notebook(questions(), values(load_settings().events))
    document = NotebookClient(nbformat.reads(text, as_version=4), timeout=60).execute()
    shapes = [
        re.search(r"shape: \((\d+), (\d+)\)", cell.outputs[0].data["text/plain"])
        for cell in document.cells if cell.source.startswith("ask(")
    ]  # fmt: skip
    for question, shape in zip(questions(), shapes, strict=True):
        assert shape, question.name
        rows = lastfm.gateway.run(question.query, **_given(question.name, {}))
        assert (int(shape[1]), int(shape[2])) == (len(rows), len(question.query.returns))


def test_every_question_is_asked_above() -> None:
    elsewhere = {"score_user"}  # test_analyst_scores.py, against the service
    assert {question.name for question in questions()} == ASKED | elsewhere
    assert len(ASKED) >= 25
