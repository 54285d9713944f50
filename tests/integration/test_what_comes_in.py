"""Limits on a real Neo4j: nothing that comes in, by tables or over HTTP, breaks what reads it."""

import asyncio
import csv
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from loaders.catalogue import Query
from loaders.extract import extract_graph
from loaders.gateway import Neo4jGateway
from loaders.ingest import ingest
from loaders.schema import apply_schema
from loaders.tables import INTERACTIONS, FolderTables, TableMapping, parse_mapping
from recsvc.evidence import evidence_matrix
from recsvc.graph.store import Store
from recsvc.recommend.engine import Engine
from recsvc.settings import load_settings
from tests.integration.in_process import client_of
from tests.odd_shop import odd_shop

pytestmark = pytest.mark.neo4j

Ask = Callable[..., httpx.Response]
STORED = Query(
    "test/stored", "", "read", {}, {},
    "MATCH (u:User)-[r:INTERACTED]->(i:Item) "
    "RETURN u.user_id AS user, i.item_id AS item, r.event AS event, r.count AS count, "
    "r.weight AS weight, r.ledger_weight AS ledger ORDER BY user, item, event",
)  # fmt: skip
MANY_KINDS = Query(
    "test/many_kinds", "", "write", {}, {},
    "MERGE (u:User {user_id: 'u'}) MERGE (i:Item {item_id: 'i'}) WITH u, i "
    "UNWIND range(1, 300) AS n CREATE (u)-[:INTERACTED {event: 'kind' + n, weight: 1.0}]->(i)",
)  # fmt: skip
BOUNDED = settings(
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def ask(gateway: Neo4jGateway, tmp_path: Path) -> Iterator[Ask]:
    """Asks a service in this process, on an empty graph."""
    apply_schema(gateway)
    store = Store(gateway.address, timeout_seconds=120.0)
    engine = Engine(
        store, snapshot_folder=tmp_path, events=load_settings().events, max_evidence=100
    )
    service = client_of(engine, tmp_path)
    with asyncio.Runner() as runner:
        client = runner.run(service.__aenter__())

        def asked(*requests: tuple[str, str, Any]) -> Any:
            async def all_of_them() -> list[httpx.Response]:
                return await asyncio.gather(
                    *(
                        client.request(
                            method, path, headers={"Content-Type": "application/json"},
                            content=body if isinstance(body, str) else json.dumps(body),
                        )
                        for method, path, body in requests
                    )
                )  # fmt: skip

            answers = runner.run(all_of_them())
            return answers if len(answers) > 1 else answers[0]

        yield asked
        runner.run(service.__aexit__(None, None, None))


def stored(gateway: Neo4jGateway) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in gateway.run(STORED)]


def rejected_in(log: Path) -> list[dict[str, str]]:
    with log.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def assert_finite(gateway: Neo4jGateway) -> None:
    """What a refresh reads is finite, and within the limits."""
    graph = extract_graph(gateway)
    edges = (graph.interactions, graph.prefers, graph.in_category, graph.related_to)
    for read in edges:
        assert (np.abs(read.weight) <= 1e6).all()
    evidence = evidence_matrix(graph, load_settings().events, now=1.8e9)
    assert np.isfinite(evidence.data).all()


def event(value: object, item: str = "i", **more: object) -> dict[str, object]:
    return {"user_id": "u", "item_id": item, "value": value, **more}


def post(*events: dict[str, object]) -> tuple[str, str, Any]:
    return "POST", "/v1/events", list(events)


class TestSums:
    def test_over_http(self, ask: Ask, gateway: Neo4jGateway) -> None:
        for value in (1e308, 1e200, -1e7, 1_000_000.5):
            answer = ask(post(event(1), event(value)))
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["location"] == ["body", "events", 1, "value"]
            assert "±1,000,000" in answer.json()["detail"]
        assert ask(post(event(999_999), event(-2, "j"))).status_code == 200
        answer = ask(post(event(1, "k"), event(2)))
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert error["location"] == ["body", "events", 1, "value"]
        assert "stays within ±1,000,000" in error["detail"]
        expected = [
            ("u", "i", "interaction", 1, 999_999.0, 999_999.0),
            ("u", "j", "interaction", 1, -2.0, -2.0),
        ]
        assert stored(gateway) == expected
        # What was counted may come again, and what brings the sum back is taken.
        again = event(5e5, "l", event_id="e")
        assert [ask(post(again)).json()["new"] for _ in range(2)] == [1, 0]
        assert ask(post(event(-9e5))).status_code == 200
        assert_finite(gateway)

    def test_those_who_share_a_transaction_are_not_harmed(
        self, ask: Ask, gateway: Neo4jGateway
    ) -> None:
        answers = ask(*(post(event(6e5, "i" if n % 2 else f"i{n}")) for n in range(10)))
        assert [a.status_code for a in answers if a.status_code != 422] == [200] * 6
        assert [(item, weight) for _, item, _, _, weight, _ in stored(gateway)] == sorted(
            [("i", 6e5), *((f"i{n}", 6e5) for n in range(0, 10, 2))]
        )

    def test_in_tables(self, gateway: Neo4jGateway, tmp_path: Path) -> None:
        rows = [
            ("u", "i", "6e5", ""), ("u", "i", "6e5", ""), ("u", "j", "6e5", ""),
            ("v", "i", "6e5", "e1"), ("v", "i", "6e5", "e2"), ("v", "i", "3e5", "e3"),
            ("u", "k", "9e5", ""), ("u", "k", "2e5", "e4"), ("u", "l", "1e308", ""),
        ]  # fmt: skip
        text = "user_id,item_id,value,event_id\n" + "".join(f"{','.join(row)}\n" for row in rows)
        (tmp_path / "interactions.csv").write_text(text)
        for _ in range(2):  # the second load changes nothing
            log = tmp_path / "rejects.csv"
            report = ingest(gateway, FolderTables(tmp_path), rejects=log)
            table = report.tables["interactions"]
            assert table.read == 9
            told = rejected_in(log)
            assert [(row["line"], row["column"]) for row in told].count(("0", "value")) >= 3
            assert ("10", "value") in [(row["line"], row["column"]) for row in told]
            assert all("±1,000,000" in row["reason"] for row in told)
            weights = {(u, i): weight for u, i, _, _, weight, _ in stored(gateway)}
            assert weights == {("u", "j"): 6e5, ("v", "i"): 9e5, ("u", "k"): 2e5}
        assert_finite(gateway)


def test_kinds_of_event(ask: Ask, gateway: Neo4jGateway) -> None:
    answer = ask(post(*(event(1, event=f"kind{n}") for n in range(130))))
    assert answer.status_code == 422
    assert "130 kinds of event: expected at most 100" in answer.json()["detail"]
    answer = ask(post(event(1, event="x" * 2_000)))
    assert answer.json()["errors"][0]["location"] == ["body", "events", 0, "event"]
    assert stored(gateway) == []
    # A graph may have more all the same: by several requests, or by hand.
    gateway.run(MANY_KINDS)
    found = extract_graph(gateway).interactions
    assert len(found.events) == 300
    assert sorted(found.event_index.tolist()) == list(range(300))
    assert_finite(gateway)


def test_weights_of_links(ask: Ask, gateway: Neo4jGateway) -> None:
    for path, field in (("users/u", "preferences"), ("items/i", "categories")):
        for weight in (1e39, -1e7, "1e200"):
            body = {field: ["a", {"category_id": "b", "weight": weight}]}
            answer = ask(("PUT", f"/v1/{path}", body))
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["location"] == ["body", field, 1, "weight"]
        most = {field: [{"category_id": "b", "weight": -1e6}]}
        assert ask(("PUT", f"/v1/{path}", most)).status_code == 201
    assert_finite(gateway)


def test_the_odd_shop_loses_the_bad_rows_alone(gateway: Neo4jGateway, tmp_path: Path) -> None:
    odd_shop(tmp_path / "shop")
    log = tmp_path / "rejects.csv"
    report = ingest(gateway, FolderTables(tmp_path / "shop"), rejects=log)
    told = {row["row"].split(",")[0]: row["reason"] for row in rejected_in(log)}
    assert report.rejected == len(told) == 6
    assert told == {
        "future": "'2090-01-01' is after tomorrow",
        "huge": "'1e308' is beyond ±1,000,000",
        "not a number": "'nan' is not a finite number",
        "NULL": "'NULL' stands for no id: leave the row out, or say --keep-null-ids",
        "": "is missing",
        "excel": "'45123.5' is before 1970-01-02: if it is a year or a spreadsheet's number of a "
        "day, write it as 2018-07-19",
    }
    assert ("compact", "i9", "view", 1, 1.0, None) in stored(gateway)
    assert_finite(gateway)


class TestInvoice:
    """One file that serves two tables or three."""

    INVOICE = (
        "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n"
        "536365,85123A,HOLDER,6,12/1/2010 8:26,2.55,17850,UK\n"
        "536366,85123A,HOLDER,2,12/2/2010 9:01,2.55,13047,France\n"
    )
    MAPPING = (
        "interactions=invoices", "interactions.user_id=CustomerID",
        "interactions.item_id=StockCode", "interactions.value=Quantity",
        "interactions.timestamp=InvoiceDate", "items=invoices", "items.item_id=StockCode",
        "items.title=Description",
    )  # fmt: skip
    ITEM = Query("test/item", "", "read", {}, {}, "MATCH (i:Item) RETURN properties(i) AS item")

    def properties(self, gateway: Neo4jGateway, folder: Path, mapping: TableMapping) -> Any:
        (folder / "invoices.csv").write_text(self.INVOICE)
        tables = FolderTables(folder, mapping)
        report = ingest(gateway, tables, rejects=folder / "rejects.csv")
        assert report.rejected == 0
        return gateway.run(self.ITEM)[0]["item"], report.warnings

    def test_a_table_takes_its_own_columns(self, gateway: Neo4jGateway, tmp_path: Path) -> None:
        mapping = parse_mapping(self.MAPPING, date_format="%m/%d/%Y %H:%M")
        item, warnings = self.properties(gateway, tmp_path, mapping)
        assert item == {"item_id": "85123A", "title": "HOLDER"}
        assert warnings == (
            "invoices.csv serves items and interactions, so these columns are not used: 'Country', "
            "'InvoiceNo', 'UnitPrice': say whose property one is with --only items.COLUMN",
        )

    def test_what_is_named_becomes_a_property(self, gateway: Neo4jGateway, tmp_path: Path) -> None:
        mapping = parse_mapping(
            (*self.MAPPING, "items.price=UnitPrice"), only=["interactions.Country"],
            date_format="%m/%d/%Y %H:%M",
        )  # fmt: skip
        item, warnings = self.properties(gateway, tmp_path, mapping)
        assert item == {"item_id": "85123A", "title": "HOLDER", "price": "2.55"}
        assert "columns are not used: 'InvoiceNo':" in warnings[0]


IDS = st.text(max_size=20) | st.sampled_from(
    ["", " ", "NULL", "nan", "\0", "\ud800", "x" * 513, "a/b", "😀" * 512, 7, -1, 2**70, 1.5, True,
     None, [], {}, 9007199254740993.0, 1e300]
)  # fmt: skip
NUMBERS = st.floats() | st.integers(-(10**20), 10**20) | st.sampled_from(
    ["1e308", "nan", "", "1e6", " 2 ", "x", None, True, [], {}, 1e39, 1e6, -1e6, 999_999.9999999]
)  # fmt: skip
TIMES = st.floats() | st.integers(-(10**13), 10**13) | st.datetimes().map(str) | st.sampled_from(
    ["20231114", "2023", "44927.5", "2018/07/19", "9999-12-31", "", None, True, [], {}, "1e400"]
)  # fmt: skip
KINDS = st.text(max_size=101) | st.sampled_from(["view", "", None, 5, [], {}, "x" * 101, "\0"])
CELLS: Any = st.recursive(
    IDS | NUMBERS | st.text(), lambda inner: st.lists(inner, max_size=4), max_leaves=6
) | st.dictionaries(st.text(max_size=3), st.integers(), max_size=2)
EVENTS = st.fixed_dictionaries(
    {"user_id": IDS | st.just("u"), "item_id": IDS | st.just("i")},
    optional={"event": KINDS, "value": NUMBERS, "timestamp": TIMES, "event_id": IDS},
)
TOO_HEAVY = {"category_id": "a", "weight": 1e39}
LINKS = st.lists(IDS | st.fixed_dictionaries({"category_id": IDS, "weight": NUMBERS}), max_size=3)
PROPERTIES = st.dictionaries(
    st.sampled_from(["title", "name", "available", "kind", "price", "\ud800", "", "embedding_x"]),
    CELLS, max_size=3,
)  # fmt: skip
PUTS = st.tuples(
    st.sampled_from(
        [("users", "preferences"), ("items", "categories"), ("categories", "parent_id")]
    ),
    PROPERTIES, LINKS | IDS, TIMES,
)  # fmt: skip
QUERIES = st.lists(
    st.tuples(
        st.sampled_from(["k", "category", "exclude", "without", "diversity", "explain", "signal"]),
        st.binary(max_size=8) | st.sampled_from([b"\xff", b"item:\xff", b"5", b"NaN", b"1e999"]),
    ),
    max_size=3,
)  # fmt: skip


def json_lines(rows: list[Any]) -> str:
    """A table: a name that no property may have is not of its rows."""
    refused = ("\ud800", "", "embedding_x")
    return "".join(
        json.dumps({name: value for name, value in row.items() if name not in refused}) + "\n"
        for row in rows
    )


def json_text(body: object) -> str:
    """JSON as careless clients write it: with NaN, and with surrogates as escapes."""
    return json.dumps(body)


def put_request(given_: Any) -> tuple[str, str, Any]:
    (kind, links_name), properties, links, at = given_
    body = {**properties, links_name: links, **({"created_at": at} if kind == "items" else {})}
    return "PUT", f"/v1/{kind}/x", json_text(body)


def test_no_request_breaks_the_service(ask: Ask, gateway: Neo4jGateway) -> None:
    statuses: set[tuple[str, int]] = set()

    @BOUNDED
    @given(
        st.lists(EVENTS, min_size=1, max_size=4), st.lists(PUTS, min_size=1, max_size=3), QUERIES
    )
    @example([event(1)], [(("users", "preferences"), {}, [], None)], [])
    @example([event(1e308)], [(("users", "preferences"), {}, [TOO_HEAVY], None)], [])
    def each(events: list[Any], puts: list[Any], query: list[tuple[str, bytes]]) -> None:
        asked = "&".join(f"{name}={quote(value)}" for name, value in query)
        follow = {"since": events[0].get("timestamp")}
        answers = ask(
            ("POST", "/v1/events", json_text(events)),
            *(("POST", "/v1/events", json_text([one])) for one in events),
            *map(put_request, puts),
            ("PUT", "/v1/users/x/follows/u", json_text(follow)),
            ("GET", f"/v1/users/u/recommendations?{asked}", ""),
            ("GET", f"/v1/items/i/similar?{asked}", ""),
            ("GET", f"/v1/users?search={quote(query[0][1]) if query else 'u'}", ""),
        )
        for answer in answers:
            # There is no version to answer from, which is a 503.
            assert answer.status_code != 500, (answer.url, answer.text)
            answer.json()
            statuses.add((answer.request.method, answer.status_code))
        for path in ("users/x", "items/x", "categories/x", "users/u"):
            assert ask(("GET", f"/v1/{path}", "")).status_code in (200, 404)

    each()
    assert {("POST", 200), ("POST", 422), ("PUT", 201), ("PUT", 422)} <= statuses
    assert_finite(gateway)


def test_no_table_breaks_the_graph(gateway: Neo4jGateway, tmp_path: Path) -> None:
    @BOUNDED
    @given(st.lists(EVENTS, min_size=1, max_size=6), st.lists(PUTS, max_size=3))
    def each(events: list[Any], puts: list[Any]) -> None:
        good = {"user_id": "good", "item_id": "i"}  # a file without any row is an error of its own
        (tmp_path / "interactions.jsonl").write_text(json_lines([good, *events]))
        items = [{"item_id": "x", "created_at": at, **properties} for _, properties, _, at in puts]
        links = [{"item_id": "i", "category_id": "c", "weight": e.get("value")} for e in events]
        (tmp_path / "items.jsonl").write_text(json_lines(items or [{"item_id": "x"}]))
        (tmp_path / "item_categories.jsonl").write_text(json_lines(links))
        report = ingest(gateway, FolderTables(tmp_path), rejects=tmp_path / "rejects.csv")
        assert report.tables["interactions"].read == 1 + len(events)

    each()
    assert_finite(gateway)


def test_numbers_of_a_parquet_table(gateway: Neo4jGateway, tmp_path: Path) -> None:
    @BOUNDED
    @given(st.lists(st.tuples(st.floats(), st.floats() | st.none(), st.floats()), min_size=1))
    def each(rows: list[tuple[Any, ...]]) -> None:
        names = ["item_id", "value", "timestamp"]
        frame = pl.DataFrame(rows, schema=dict.fromkeys(names, pl.Float64), orient="row")
        frame.with_columns(user_id=pl.lit("u")).write_parquet(tmp_path / "interactions.parquet")
        tables = FolderTables(tmp_path)
        report = ingest(gateway, tables, rejects=tmp_path / "rejects.csv")
        assert report.tables["interactions"].read == tables.row_count(INTERACTIONS)

    each()
    assert_finite(gateway)
