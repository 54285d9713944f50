"""A graph that is edited by hand: what cannot be read is left out, everybody else is served."""

import itertools
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders.extract import extract_details, extract_graph
from loaders.ingest import ingest
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    USERS,
    FrameTables,
    as_table,
)
from recsvc.refresh.pipeline import refresh
from recsvc.settings import load_settings
from tests.conftest import QUICK, Served, Service
from tests.statement import statement

pytestmark = pytest.mark.neo4j

REFRESH_OPTIONS = QUICK

# u0 has the taste of i0 to i29, u1 another one, and follows nobody who has that of u0.
PLACES = {
    "item": ("MATCH (x:Item {item_id: $item})", ("title", "available", "created_at")),
    "user": ("MATCH (:User {user_id: 'u0'})-[:FOLLOWS]->(x:User)", ("name",)),
    "category": ("MATCH (x:Category {category_id: 'c0'})", ("name", "kind")),
    "did": (
        "MATCH (:User {user_id: 'u0'})-[x:INTERACTED]->(:Item)",
        ("event", "weight", "last_at", "first_at", "value", "count"),
    ),
    "follows": ("MATCH (:User {user_id: 'u0'})-[x:FOLLOWS]->()", ("since",)),
    "inside": ("MATCH (:Item {item_id: $item})-[x:IN_CATEGORY]->()", ("weight",)),
    "prefers": ("MATCH (:User {user_id: 'u0'})-[x:PREFERS]->()", ("weight",)),
    "other_item": ("MATCH (x:Item {note: 'odd'})", ("item_id",)),
    "other_user": ("MATCH (x:User {note: 'odd'})", ("user_id",)),
    "other_category": ("MATCH (x:Category {note: 'odd'})", ("category_id",)),
}
VALUES = (
    "true", "false", "'false'", "'no'", "0", "1", "-3", "[1]", "[]", "['a', 'b']", "[true]", "''",
    "0.0 / 0.0", "1.0 / 0.0", "-1.0 / 0.0", "1e308", "9223372036854775807", "'{a: 1}'", "' '",
    "date()", "localtime()", "time()", "localdatetime()", "datetime()", "[date()]",
    "datetime('2999-01-01')", "datetime('-0044-03-15')", "duration('P1M2DT3S')",
    "point({x: 1, y: 2})", "point({latitude: 1, longitude: 2})", "null", "'\\u0000'",
    "'2024-01-01'", "'5'",
)  # fmt: skip
EDITS = st.lists(
    st.tuples(
        st.sampled_from([(place, name) for place, (_, names) in PLACES.items() for name in names]),
        st.sampled_from(VALUES),
    ),
    min_size=1, max_size=6, unique_by=lambda edit: edit[0],
)  # fmt: skip


@pytest.fixture(scope="module")
def edited(served: Served, service: Service) -> str:
    """The item that is edited: u0 is recommended it, u1 is not. There are nodes of odd ids too."""
    statement(
        served.gateway,
        """
        MATCH (u:User {user_id: 'u0'}), (c:Category {category_id: 'c0'})
        MERGE (u)-[:PREFERS]->(c)
        CREATE (i:Item {note: 'odd', item_id: 'odd'}), (i)-[:IN_CATEGORY]->(c),
               (o:User {note: 'odd', user_id: 'odd'}),
               (k:Category {note: 'odd', category_id: 'odd'}),
               (k)-[:SUBCATEGORY_OF]->(c), (u)-[:INTERACTED {event: 'listen', weight: 1.0}]->(i),
               (u)-[:FOLLOWS]->(o), (u)-[:PREFERS]->(k), (i)-[:IN_CATEGORY]->(k),
               (o)-[:INTERACTED {event: 'listen', weight: 1.0}]->(i)
        """,
    )
    first = service.client.get("/v1/users/u0/recommendations", params={"k": 1}).json()
    return first["items"][0]["item_id"]


def _asks(item: str) -> Sequence[tuple[str, dict[str, Any]]]:
    return (
        ("/v1/users/u0/recommendations", {"k": 20, "explain": "full"}),
        ("/v1/users/u0/recommendations", {"k": 100, "category": "c0", "diversity": 0.5}),
        (f"/v1/users/u0/recommendations/{item}/explanation", {}),
        ("/v1/users/u0/evidence", {}),
        ("/v1/users/u0/similar", {}),
        (f"/v1/items/{item}/similar", {"k": 100}),
        ("/v1/users/u0", {}),
        (f"/v1/items/{item}", {}),
        ("/v1/categories/c0", {}),
        *((f"/v1/{kind}", {"k": 100} | ({"search": text} if text else {"at": 0.0}))
          for kind, text in itertools.product(("users", "items", "categories"), ("", "o", "so"))
          if text or kind == "users"),
    )  # fmt: skip


def _answer(service: Service, path: str, parameters: dict[str, Any]) -> dict[str, Any]:
    answer = service.client.get(path, params=parameters)
    assert answer.status_code == 200, (path, parameters, answer.text)
    document = answer.json()
    assert document.get("degraded", []) == []
    own = ("request_id", "recommendation_id", "took_ms")
    return {n: v for n, v in document.items() if n not in own}


def _check_sums(document: dict[str, Any]) -> None:
    for item in document["items"]:
        assert item["title"] is None or isinstance(item["title"], str)
        assert item["score"] == pytest.approx(sum(item["signals"].values()), rel=1e-4, abs=1e-9)


def _edit(served: Served, item: str, edits: Sequence[tuple[tuple[str, str], str]]) -> None:
    for (place, name), value in edits:
        text = PLACES[place][0]
        named = {"item": item} if "$item" in text else {}
        statement(
            served.gateway,
            f"{text} WITH x LIMIT 1 SET x.edited = true, x.{name} = {value}",
            **named,
        )


def _extracted(served: Served) -> None:
    graph = extract_graph(served.gateway)
    details = extract_details(served.gateway, graph.items, graph.categories)
    assert all(isinstance(title, str) for title in details.titles)
    for array in (graph.interactions.weight, graph.in_category.weight, graph.prefers.weight):
        assert np.isfinite(array).all()
    assert (np.abs(graph.interactions.weight) <= 1e6).all()


class Others:
    """What others are answered: somebody of another taste, whose list does not hold the item."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.before = self.now()

    def now(self) -> list[dict[str, Any]]:
        recommendations = {"k": 10, "explain": "full"}
        return [
            _answer(self.service, "/v1/users/u1/recommendations", recommendations),
            _answer(self.service, "/v1/items/i40/similar", {"k": 5}),
        ]


@pytest.fixture(scope="module")
def others(service: Service, edited: str) -> Others:
    return Others(service)


@settings(
    max_examples=settings.default.max_examples // 5, derandomize=True, database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(edits=EDITS)
def test_no_edit_breaks_an_answer_or_a_refresh(
    served: Served, service: Service, edited: str, others: Others, edits: Any
) -> None:
    """Whatever values somebody gives to properties that this product reads."""
    before = statement(served.gateway,
                "MATCH (n:Item|User|Category) WHERE n.note = 'odd' OR n.item_id = $item "
                "OR n.category_id = 'c0' OR EXISTS { (:User {user_id: 'u0'})-[:FOLLOWS]->(n) } "
                "RETURN elementId(n) AS id, properties(n) AS properties "
                "UNION MATCH (:User {user_id: 'u0'})-[r]->() "
                "RETURN elementId(r) AS id, properties(r) AS properties "
                "UNION MATCH (:Item {item_id: $item})-[r:IN_CATEGORY]->() "
                "RETURN elementId(r) AS id, properties(r) AS properties", item=edited)  # fmt: skip
    try:
        _edit(served, edited, edits)
        for path, parameters in _asks(edited):
            document = _answer(service, path, parameters)
            if "recommendations" in path and "items" in document:
                _check_sums(document)
        assert others.now() == others.before
        _extracted(served)
    finally:
        rows = [(row["id"], row["properties"]) for row in before]
        text = "UNWIND $rows AS row MATCH {} WHERE elementId(x) = row[0] SET x = row[1]"
        for pattern in ("(x)", "()-[x]->()"):
            statement(served.gateway, text.format(pattern), rows=rows)


def test_what_cannot_be_read_is_counted_and_named_once(
    served: Served, service: Service, log_file: Path, edited: str
) -> None:
    _edit(served, edited, [(("item", "available"), "'no'")])
    (row,) = statement(
        served.gateway, "MATCH (i:Item {item_id: $item}) RETURN elementId(i) AS id", item=edited
    )
    for _ in range(3):
        listed = _answer(service, "/v1/users/u0/recommendations", {"k": 10})["items"]
        assert edited not in [item["item_id"] for item in listed]
    metrics = service.client.get("/metrics").text
    counted = re.search(r'recsvc_unread_values_total{kind="Item.available"} ([\d.]+)', metrics)
    assert counted is not None
    assert float(counted[1]) >= 3
    # Its id may be the beginning of another one's.
    assert len(re.findall(rf"{re.escape(row['id'])}(?!\d)", log_file.read_text())) == 1


def test_what_an_extract_leaves_out_is_counted(served: Served, edited: str) -> None:
    heard: list[Mapping[str, int]] = []
    extract_graph(served.gateway, unread=heard.append)
    assert heard == []
    text = "MATCH (:User {user_id: 'u0'})-[r:INTERACTED]->() WITH r ORDER BY elementId(r) LIMIT 3 "
    statement(served.gateway, text + "SET r.weight = true")
    _edit(served, edited, [(("inside", "weight"), "[1]"), (("prefers", "weight"), "'x'")])
    extract_graph(served.gateway, unread=heard.append)
    assert heard == [{"INTERACTED": 3, "PREFERS": 1, "IN_CATEGORY": 1}]


def test_a_refresh_of_a_graph_where_all_of_it_was_edited(served: Served, edited: str) -> None:
    every = itertools.cycle(VALUES)
    for place, (_, names) in PLACES.items():
        for name in names:
            if not name.endswith("_id"):
                _edit(served, edited, [((place, name), next(every))])
    statement(
        served.gateway,
        "MATCH (x {note: 'odd'}) SET x.item_id = 7, x.user_id = [1], x.category_id = true",
    )
    report = refresh(
        served.gateway, REFRESH_OPTIONS, load_settings().events, home=served.home, force=True
    )
    assert report.versions["hybrid"] == 2
    manifest = served.home / "refreshes" / report.run / "manifest.json"
    assert orjson.loads(manifest.read_bytes())["unread_relationships"]["INTERACTED"] >= 1


NUMBERS = ("count", "weight", "ledger_count", "ledger_weight", "value")
TIMES = ("first_at", "last_at")
EARLY, LATE = datetime(2020, 1, 1, tzinfo=UTC), datetime(2024, 5, 6, tzinfo=UTC)
LATE_MILLIS = int(LATE.timestamp() * 1000)
# Of the count 2, tables said 1, and of the weight 5.0 they said 2.0.
ODD_INTERACTIONS = f"""
UNWIND $names AS name
UNWIND range(0, size($values) - 1) AS n
MERGE (u:User {{user_id: $user}})
CREATE (u)-[r:INTERACTED {{
  event: 'listen', count: 2, weight: 5.0, ledger_count: 1, ledger_weight: 3.0, value: 3.0,
  first_at: $early, last_at: $early
}}]->(i:Item {{item_id: $user + '-' + name + '-' + n}})
SET r[name] = [{", ".join(VALUES)}][n]
""".replace("size($values)", str(len(VALUES)))
READ = """
MATCH (:User {user_id: $user})-[r:INTERACTED]->(i:Item)
WHERE r.event IS :: STRING NOT NULL AND r.event = 'listen'
RETURN i.item_id AS item,
       [n IN $numbers | CASE WHEN r[n] IS :: INTEGER | FLOAT THEN r[n] END] AS numbers,
       [n IN $times | CASE WHEN r[n] IS :: ZONED DATETIME THEN r[n].epochMillis END] AS times
"""
Known = dict[str, Any]


def _odd_interactions(served: Served, user: str) -> dict[str, Known]:
    """Make interactions of a new user: in each, one property has one of the odd values.

    Returns:
        What can be read of each, by item: nothing where its event cannot.
    """
    names = (*NUMBERS, *TIMES, "event")
    statement(served.gateway, ODD_INTERACTIONS, user=user, names=names, early=EARLY)
    interactions = _interactions(served, user)
    for known in interactions.values():
        for name in NUMBERS:
            low, high = (0, 1e12) if "count" in name else (-1e6, 1e6)
            if known[name] is not None and not low <= known[name] <= high:
                known[name] = None
    items = [f"{user}-{name}-{n}" for name in names for n in range(len(VALUES))]
    return {item: interactions.get(item) or dict.fromkeys(names) for item in items}


def _interactions(served: Served, user: str) -> dict[str, Known]:
    rows = statement(served.gateway, READ, user=user, numbers=NUMBERS, times=TIMES)
    names = (*NUMBERS, *TIMES)
    return {r["item"]: dict(zip(names, r["numbers"] + r["times"], strict=True)) for r in rows}


def _check_times(now: Known, was: Known) -> bool:
    """Check when it was first and last; return whether LATE is the newest."""
    newer = was["last_at"] is None or was["last_at"] < LATE_MILLIS
    assert now["last_at"] == (LATE_MILLIS if newer else was["last_at"])
    assert now["first_at"] == min(LATE_MILLIS if (t := was["first_at"]) is None else t, LATE_MILLIS)
    return newer


def _first(*values: Any) -> Any:
    return next((value for value in values if value is not None), 0)


def test_events_on_interactions_that_were_edited(served: Served, service: Service) -> None:
    """Whatever stands there: the event counts, those of others do, and what is odd is replaced."""
    before = _odd_interactions(served, "odd-writes")
    statement(
        served.gateway,
        "MATCH (i:Item) WHERE i.item_id STARTS WITH 'odd-writes' SET i.title = [true]",
    )
    statement(served.gateway, "CREATE (:Event {event_id: 'odd', uncounted: 'x'})")
    events = [
        {"event_id": f"hand-{item}", "user_id": "odd-writes", "item_id": item, "event": "listen",
         "value": 4.0, "timestamp": LATE.isoformat()}
        for item in before
    ]  # fmt: skip
    other = {"event_id": "hand-other", "user_id": "u1", "item_id": "i40", "event": "wish"}
    seen = {"event_id": "odd", "user_id": "u1", "item_id": "i40", "event": "wish"}
    answer = service.client.post("/v1/events", json={"events": [*events, other, seen]})
    assert answer.status_code == 200, answer.text
    assert answer.json()["new"] == len(before) + 1
    after = _interactions(served, "odd-writes")
    assert after.keys() == before.keys()
    for item, was in before.items():
        now = after[item]
        assert now["count"] == int(_first(was["count"], was["ledger_count"])) + 1, item
        assert now["weight"] == _first(was["weight"], was["ledger_weight"]) + 4.0, item
        assert now["ledger_count"] == int(_first(was["ledger_count"])) + 1, item
        assert now["ledger_weight"] == _first(was["ledger_weight"]) + 4.0, item
        newer = _check_times(now, was)
        assert now["value"] == (4.0 if newer else was["value"]), item


def test_tables_on_interactions_that_were_edited(served: Served, tmp_path: Path) -> None:
    """The same of a load: it stands where what tables said before cannot be read."""
    before = _odd_interactions(served, "odd-loads")
    rows = pl.DataFrame({
        "user_id": ["odd-loads"] * len(before) + ["u1"],
        "item_id": [*before, "i41"],
        "event": ["listen"] * len(before) + ["wish"],
        "value": [1.5] * (len(before) + 1),
        "timestamp": [LATE] * (len(before) + 1),
    })  # fmt: skip
    tables = FrameTables({INTERACTIONS: as_table(INTERACTIONS, rows)})
    for _ in range(2):
        report = ingest(served.gateway, tables, rejects=tmp_path / "rejects.csv")
        assert report.rejected == 0
        after = _interactions(served, "odd-loads")
        assert after.keys() == before.keys()
        for item, was in before.items():
            now, said = after[item], (1, 1.5)
            count, weight = int(_first(was["ledger_count"])), _first(was["ledger_weight"])
            if was["count"] is not None and was["weight"] is not None:
                said = max(said, (int(was["count"]) - count, was["weight"] - weight))
            assert (now["count"], now["weight"]) == (count + said[0], weight + said[1]), item
            _check_times(now, was)
    assert statement(served.gateway,
                "MATCH (:User {user_id: 'u1'})-[r {event: 'wish'}]->({item_id: 'i41'}) "
                "RETURN r.weight AS weight") == [{"weight": 1.5}]  # fmt: skip


ODD_NODES = f"""
UNWIND range(0, {len(VALUES) - 1}) AS n
WITH $prefix + n AS id, [{", ".join(VALUES)}][n] AS odd
MATCH (friend:User {{user_id: 'u1'}}), (parent:Category {{category_id: 'c0'}})
CREATE (u:User {{user_id: id, name: odd, odd: odd}}),
       (i:Item {{item_id: id, title: odd, available: odd, created_at: odd}}),
       (c:Category {{category_id: id, name: odd, kind: odd}}),
       (u)-[:PREFERS {{weight: odd}}]->(c), (i)-[:IN_CATEGORY {{weight: odd}}]->(c),
       (u)-[:FOLLOWS {{since: odd}}]->(friend), (c)-[:SUBCATEGORY_OF {{weight: odd}}]->(parent)
RETURN collect(id) AS ids
"""
WRITTEN = """
UNWIND $ids AS id
MATCH (u:User {user_id: id})-[p:PREFERS]->(c:Category {category_id: id})<-[l:IN_CATEGORY]-(i:Item),
      (u)-[f:FOLLOWS]->(:User {user_id: 'u1'})
RETURN u.name AS user, i.title AS item, c.name AS category, p.weight AS prefers, l.weight AS inside,
       f.since.epochMillis AS since
"""
NEW = {
    "user": "Una", "item": "Ion", "category": "Cor", "prefers": 2.0, "inside": 3.0,
    "since": LATE_MILLIS,
}  # fmt: skip


def test_nodes_and_links_that_were_edited_are_put(served: Served, service: Service) -> None:
    ids = statement(served.gateway, ODD_NODES, prefix="odd-put-")[0]["ids"]
    for id_ in ids:
        inside, liked = ([{"category_id": id_, "weight": weight}] for weight in (3.0, 2.0))
        for path, body in (
            (f"users/{id_}", {"name": "Una", "preferences": liked}),
            (f"items/{id_}", {"title": "Ion", "categories": inside}),
            (f"categories/{id_}", {"name": "Cor", "parent_id": "c0"}),
            (f"users/{id_}/follows/u1", {"since": LATE.isoformat()}),
        ):
            answer = service.client.put(f"/v1/{path}", json=body)
            assert answer.status_code == 200, answer.text
    assert statement(served.gateway, WRITTEN, ids=ids) == [NEW] * len(VALUES)
    for id_ in ids[::6]:  # they are all the same now
        for path in (
            f"users/{id_}/follows/u1",
            f"users/{id_}",
            f"items/{id_}",
            f"categories/{id_}",
        ):
            assert service.client.delete(f"/v1/{path}").status_code == 204


def test_nodes_and_links_that_were_edited_are_loaded(served: Served, tmp_path: Path) -> None:
    ids = statement(served.gateway, ODD_NODES, prefix="odd-load-")[0]["ids"]
    frames = {
        USERS: {"user_id": ids, "name": "Una"},
        ITEMS: {"item_id": ids, "title": "Ion"},
        CATEGORIES: {"category_id": ids, "name": "Cor"},
        ITEM_CATEGORIES: {"item_id": ids, "category_id": ids, "weight": 3.0},
        PREFERENCES: {"user_id": ids, "category_id": ids, "weight": 2.0},
        FOLLOWS: {"follower_id": ids, "followee_id": "u1", "since": LATE},
    }
    tables = FrameTables({spec: as_table(spec, pl.DataFrame(f)) for spec, f in frames.items()})
    report = ingest(served.gateway, tables, rejects=tmp_path / "rejects.csv")
    assert report.rejected == 0
    assert statement(served.gateway, WRITTEN, ids=ids) == [NEW] * len(VALUES)
