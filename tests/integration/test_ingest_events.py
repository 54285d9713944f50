"""Events in a real Neo4j, beside tables and beside each other: each counts once."""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loaders.catalogue import Query, catalogue
from loaders.gateway import Neo4jGateway
from loaders.ingest import IngestReport, ingest
from loaders.schema import apply_schema
from loaders.tables import INTERACTIONS, FrameTables, Tables, as_table

pytestmark = pytest.mark.neo4j

Links = Callable[[str], dict[tuple[Any, ...], dict[str, Any]]]
DAY = datetime(2020, 1, 1, tzinfo=UTC)
NODES = Query(
    "test/nodes", "All nodes.", "read", {}, {},
    "MATCH (n) RETURN labels(n) AS labels, collect(properties(n)) AS all",
)  # fmt: skip
EMPTY = Query("test/empty", "Empties the graph.", "write", {}, {}, "MATCH (n) DETACH DELETE n")


def load(gateway: Neo4jGateway, source: Tables, folder: Path) -> IngestReport:
    return ingest(gateway, source, rejects=folder / "rejects.csv")


def event(event_id: str, **more: Any) -> dict[str, Any]:
    row = {"user_id": "u", "item_id": "i", "event": "view", "value": None, "timestamp": None}
    return {"event_id": event_id} | row | more


def count_events(gateway: Neo4jGateway, rows: Sequence[Mapping[str, Any]]) -> int:
    return gateway.run(catalogue()["ingest/events"], rows=[timed(row) for row in rows], limit=1e6)[
        0
    ]["counted"]


def timed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with its time in whole numbers, as the query takes it."""
    time = row["timestamp"]
    micros = time and (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
    at = None if time is None else [micros // 1_000_000, micros % 1_000_000 * 1_000]
    return {**row, "at": at}


PAIRS = st.tuples(st.sampled_from("uv"), st.sampled_from("ij"), st.just("view"))
VALUES = st.sampled_from([None, -1.0, 0.1, 0.2, 5.0])
TIMES = st.sampled_from([None, DAY, DAY + timedelta(hours=1)])
ROWS = st.lists(st.tuples(PAIRS, VALUES, TIMES), min_size=1, max_size=4)


def newest(candidates: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
    """The latest (time, value), ties by value, a missing one lowest."""
    return max(
        candidates, key=lambda c: (c[0] is not None, c[0] or DAY, c[1] is not None, c[1] or 0)
    )


def expected(loads: Sequence[Any], events: Sequence[Any]) -> dict[tuple[Any, ...], dict[str, Any]]:
    """The rule of docs/tables.md in plain Python."""
    tables = defaultdict(list)
    told = defaultdict(list)
    for rows in loads:
        for key in {row[0] for row in rows}:
            values = [1.0 if value is None else value for k, value, _ in rows if k == key]
            tables[key].append((len(values), round(sum(values), 6)))
    for rows in [*loads, events]:
        for key, value, time in rows:
            told[key].append((time, value))
    answer = {}
    for key, candidates in told.items():
        values = [1.0 if value is None else value for k, value, _ in events if k == key]
        count, weight = max(tables[key], default=(0, 0.0))
        times = [time for time, _ in candidates if time is not None]
        last_at, value = newest(candidates)
        link = {
            "event": key[2],
            "count": count + len(values),
            "weight": round(weight + sum(values), 6),
            "value": value,
            "first_at": min(times, default=None),
            "last_at": last_at,
        }
        if values:
            link |= {"ledger_count": len(values), "ledger_weight": round(sum(values), 6)}
        answer[key] = {name: part for name, part in link.items() if part is not None}
    return answer


@settings(
    max_examples=settings.default.max_examples * 2 // 5,
    # The example empties the graph itself.
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(loads=st.lists(ROWS, max_size=3), events=ROWS, data=st.data())
def test_loads_and_events_in_any_order_and_again(
    gateway: Neo4jGateway,
    tmp_path_factory: pytest.TempPathFactory,
    loads: list[Any],
    events: list[Any],
    data: st.DataObject,
    relationships: Links,
) -> None:
    gateway.run(EMPTY)
    apply_schema(gateway)
    cut = data.draw(st.integers(0, len(events)))
    numbered = list(enumerate(events))
    steps = [*(("load", rows) for rows in loads), *(("events", n) for n in (0, 1))]
    order = data.draw(st.permutations(steps + data.draw(st.lists(st.sampled_from(steps)))))
    for kind, what in order:
        if kind == "load":
            frame = pl.DataFrame(
                [(*key, value, time) for key, value, time in what],
                schema=dict.fromkeys(INTERACTIONS.names[:3], pl.String)
                | {"value": pl.Float64, "timestamp": pl.Datetime("us", "UTC")},
                orient="row",
            )
            source = FrameTables({INTERACTIONS: as_table(INTERACTIONS, frame)})
            load(gateway, source, tmp_path_factory.mktemp("rejects"))
        elif rows := numbered[cut:] if what else numbered[:cut]:
            names = INTERACTIONS.names[:3]
            count_events(
                gateway,
                [
                    event(
                        f"e{n}", value=value, timestamp=time, **dict(zip(names, key, strict=True))
                    )
                    for n, (key, value, time) in rows
                ],
            )
    found = relationships("INTERACTED")
    for link in found.values():
        link |= {name: link[name].to_native() for name in ("first_at", "last_at") if name in link}
    assert found == expected(loads, events)


class TestEvents:
    @pytest.fixture(autouse=True)
    def _schema(self, gateway: Neo4jGateway) -> None:
        apply_schema(gateway)

    def test_nodes_are_made_and_the_ledger_says_whose(
        self, gateway: Neo4jGateway, relationships: Links
    ) -> None:
        assert count_events(gateway, [event("e", value=2, timestamp=DAY)]) == 1
        nodes = {row["labels"][0]: row["all"] for row in gateway.run(NODES)}
        assert nodes["User"] == [{"user_id": "u"}]
        assert nodes["Item"] == [{"item_id": "i"}]
        ledger = nodes["Event"][0]
        assert ledger.pop("at").to_native() == DAY
        assert ledger == {"event_id": "e", "user_id": "u", "item_id": "i"}
        link = relationships("INTERACTED")["u", "i", "view"]
        assert (link["count"], link["weight"], link["value"]) == (1, 2.0, 2.0)

    def test_a_repeated_event_counts_once(
        self, gateway: Neo4jGateway, relationships: Links
    ) -> None:
        rows = [event("e"), event("f"), event("e")]
        assert count_events(gateway, rows) == 2
        assert count_events(gateway, rows) == 0
        assert count_events(gateway, [event("f"), event("g", user_id="v")]) == 1
        found = relationships("INTERACTED")
        assert {key: link["count"] for key, link in found.items()} == {
            ("u", "i", "view"): 2,
            ("v", "i", "view"): 1,
        }

    def test_no_rows(self, gateway: Neo4jGateway) -> None:
        assert count_events(gateway, []) == 0

    def test_a_thousand_at_once(self, gateway: Neo4jGateway, relationships: Links) -> None:
        rows = [event(f"e{n}", item_id=f"i{n % 10}", value=0.1) for n in range(1_000)]
        assert count_events(gateway, rows) == 1_000
        found = relationships("INTERACTED")
        assert {(link["count"], link["weight"]) for link in found.values()} == {(100, 10.0)}

    def test_concurrent_transactions_count_each_event_once(
        self, gateway: Neo4jGateway, relationships: Links
    ) -> None:
        rows = [
            event(f"e{n}", user_id=f"u{n % 7}", item_id=f"i{n % 5}", value=1) for n in range(300)
        ]

        def post(seed: int) -> int:
            random = Random(seed)
            mixed = random.sample(rows, len(rows))
            return sum(count_events(gateway, mixed[n : n + 30]) for n in range(0, 300, 30))

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(post, range(8))) == 300
        found = relationships("INTERACTED").values()
        assert sum(link["count"] for link in found) == 300
        assert sum(link["weight"] for link in found) == 300.0

    def test_events_that_come_while_tables_are_loaded(
        self, gateway: Neo4jGateway, tmp_path: Path, relationships: Links
    ) -> None:
        pairs = [(f"u{a}", f"i{b}") for a in range(20) for b in range(20)]
        frame = pl.DataFrame(pairs * 3, ["user_id", "item_id"], orient="row")
        source = FrameTables({INTERACTIONS: as_table(INTERACTIONS, frame)})

        def post(seed: int) -> int:
            random = Random(seed)
            return sum(
                count_events(
                    gateway,
                    [
                        event(f"{seed}-{n}-{a}-{b}", user_id=a, item_id=b, event="interaction")
                        for a, b in random.sample(pairs, 20)
                    ],
                )
                for n in range(20)
            )

        def ingest_again(_: int) -> int:
            return sum(
                load(gateway, source, tmp_path).tables["interactions"].written for _ in "123"
            )

        with ThreadPoolExecutor(5) as pool:
            counted = [pool.submit(post, seed) for seed in range(4)]
            loaded = pool.submit(ingest_again, 0)
            assert sum(task.result() for task in counted) == 4 * 20 * 20
            assert loaded.result() == 3 * 400
        found = relationships("INTERACTED").values()
        assert sum(link["count"] for link in found) == 3 * 400 + 4 * 20 * 20
