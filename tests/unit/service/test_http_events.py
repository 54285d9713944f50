import json
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import httpx
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from loaders.errors import SumBeyondError, TableError
from loaders.tables import INTERACTIONS, as_table
from loaders.tables._spec import DEFAULT_EVENT
from recsvc.service.routes.events import EventIn
from tests.unit.service.fake_engine import FakeEngine

EVENT = {"user_id": "2", "item_id": "55"}
RECEIVED = datetime(2025, 1, 1, tzinfo=UTC)


async def test_events_arrive_as_the_query_wants_them(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    body = {
        "events": [
            {
                "event_id": "e1",
                "user_id": "2",
                "item_id": "55",
                "event": "listen",
                "value": 3,
                "timestamp": "2025-11-21T12:00:00+01:00",
            }
        ]
    }
    response = await client.post("/v1/events", json=body)
    assert (response.status_code, response.json()) == (
        200, {"received": 1, "new": 1, "unknown_kinds": []},
    )  # fmt: skip
    row = {
        "event_id": "e1",
        "user_id": "2",
        "item_id": "55",
        "event": "listen",
        "value": 3.0,
        "timestamp": datetime(2025, 11, 21, 11, tzinfo=UTC),
    }
    assert fake.calls == [("add_events", [row])]
    assert fake.calls[0][1][0]["timestamp"].tzinfo is UTC


async def test_what_is_left_out_is_filled_in(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    nothing = {"event_id": "", "event": None, "value": None, "timestamp": None}
    before = datetime.now(UTC)
    await client.post("/v1/events", json=[EVENT, EVENT | nothing])
    after = datetime.now(UTC)
    first, second = fake.calls[0][1]
    assert len({first["event_id"], second["event_id"]}) == 2
    assert len(first["event_id"]) == 32
    for row in (first, second):
        assert (row["event"], row["value"]) == ("interaction", None)
        assert before <= row["timestamp"] <= after


async def test_a_repeated_event_is_not_new(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/events", json=[EVENT | {"event_id": "e"}] * 2)
    assert response.json() == {"received": 2, "new": 1, "unknown_kinds": []}


async def test_kinds_without_a_weight_are_stored_and_named(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    kinds = ["borrowed", "LISTEN", "lent", "borrowed"]
    response = await client.post("/v1/events", json=[EVENT | {"event": kind} for kind in kinds])
    assert response.json() == {"received": 4, "new": 4, "unknown_kinds": ["borrowed", "lent"]}
    assert [row["event"] for row in fake.calls[0][1]] == kinds
    body = {"evidence": [{"item_id": "55", "event": "lent"}, {"item_id": "56"}]}
    answer = (await client.post("/v1/recommendations", json=body)).json()
    assert answer["unknown_kinds"] == ["lent"]
    text = (await client.get("/metrics")).text
    assert "recsvc_events_without_weight_total 4.0" in text


async def test_up_to_a_thousand(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    assert (await client.post("/v1/events", json=[EVENT] * 1000)).status_code == 200
    for count in (0, 1001):
        response = await client.post("/v1/events", json=[EVENT] * count)
        assert response.status_code == 422
        assert response.json()["errors"][0]["location"] == ["body", "events"]
    assert len(fake.calls) == 1


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("user_id", None),
        ("user_id", ""),
        ("user_id", 1.5),
        ("item_id", True),
        ("item_id", ["55"]),
        ("event_id", "x" * 513),
        ("event", {"name": "view"}),
        ("value", "many"),
        ("value", True),
        ("value", 1e308),
        ("value", -1_000_001),
        ("value", []),
        ("event", []),
        ("event", "x" * 101),
        ("user_id", 9007199254740993.0),
        ("event_id", 9007199254740992.0),
        ("timestamp", 44927.5),
        ("timestamp", "2018/07/19"),
        ("timestamp", "2090-01-01"),
        ("timestamp", 0),
        ("timestamp", "yesterday"),
        ("timestamp", 1e15),
        ("timestamp", False),
        ("other", 1),
    ],
)
async def test_one_bad_event_refuses_them_all(
    client: httpx.AsyncClient, fake: FakeEngine, field: str, value: object
) -> None:
    response = await client.post("/v1/events", json=[EVENT, EVENT | {field: value}])
    assert response.status_code == 422
    (error,) = response.json()["errors"]
    assert error["location"] == ["body", "events", 1, field]
    assert fake.calls == []


async def test_kinds_of_event_in_one_request(client: httpx.AsyncClient, fake: FakeEngine) -> None:
    events = [EVENT | {"event": f"kind{n}"} for n in range(101)]
    response = await client.post("/v1/events", json={"events": events})
    assert response.status_code == 422
    assert "101 kinds of event: expected at most 100" in response.json()["detail"]
    assert fake.calls == []
    assert (await client.post("/v1/events", json={"events": events[1:]})).status_code == 200


async def test_a_sum_beyond_its_limit_is_said_with_the_place(
    client: httpx.AsyncClient, fake: FakeEngine
) -> None:
    fake.error = SumBeyondError(["b", "c"])
    events = [EVENT | {"event_id": each} for each in "abc"]
    response = await client.post("/v1/events", json=events)
    assert response.status_code == 422
    places = [error["location"] for error in response.json()["errors"]]
    assert places == [["body", "events", n, "value"] for n in (1, 2)]


def test_a_row_has_the_columns_of_the_table() -> None:
    row = EventIn.model_validate(EVENT).row(RECEIVED)
    assert row["event"] == DEFAULT_EVENT
    assert sorted(row) == sorted(INTERACTIONS.names)


REFUSED = object()


def from_table(cells: dict[str, Any]) -> object:
    """The row a table makes of an event; times that are missing are left to the receiver."""
    try:
        frame = as_table(INTERACTIONS, pl.DataFrame({name: [cell] for name, cell in cells.items()}))
    except TableError:
        return REFUSED
    row = frame.row(0, named=True)
    row["timestamp"] = row["timestamp"] or RECEIVED
    return row


def from_http(cells: dict[str, Any]) -> object:
    """The same, of the event as it comes over HTTP."""
    try:
        row = EventIn.model_validate(json.loads(json.dumps(cells))).row(RECEIVED)
    except ValidationError:
        return REFUSED
    return row | {"event_id": None} if cells["event_id"] in (None, "") else row


def assert_same(field: str, cell: object) -> None:
    cells = {"event_id": None, "user_id": "2", "item_id": "55", field: cell}
    left, right = from_table(cells), from_http(cells)
    assert left == right, (field, cell)


IDS = [
    2.0**53,
    2.0**53 - 1,
    "",
    "a",
    " a ",
    "x" * 512,
    "x" * 513,
    "😀" * 512,
    "\0",
    0,
    7,
    -1,
    2**53,
    2.0,
    -0.0,
    1.5,
]
NUMBERS: list[object] = [
    *("1", " 2.5 ", "+3", "-4e-3", ".5", "5.", "1E5", "", "  ", "x", "1_0", "0x1", "1e", "1e400"),
    *("inf", "nan", "-Infinity", "\u0661", "1,5", "--1", "+", ".", "e5", "1 2", "1\n"),
    *("1000000", "1000000.1", "-1e6", "-1000001", 1e6, 1_000_000.5, -1e200, 1e39),
    *(0, 1, -3, 2.5, 1e308, float("nan"), float("inf")),
]
TIMES: list[object] = [
    *("2025-11-21", "2025-11-21T12", "2025-11-21T12:30", "2025-11-21 12:30:05", "20251121"),
    *("2025-11-21t12:30:05.123456789z", "2025-11-21T12:30:05,5Z", "2025-11-21T12:30:05 Z"),
    *("2025-11-21T12:30+01", "2025-11-21T12:30-0130", "2025-11-21T12:30+01:30", " 2025-11-21 "),
    *("2025-02-29", "2024-02-29", "2025-13-01", "2025-11-21T24:00", "2025-11-21T23:60"),
    *("2025-11-21T23:59:60Z", "2025-11-21T12:30+24:00", "2025-11-21T12:30+01:60", "0000-01-01"),
    *("0001-01-01", "0001-01-01T00:00+00:01", "9999-12-31T23:59:59.999999", "10000-01-01"),
    *("9999-12-31T23:59:59-00:01", "1700000000", "1700000000.5", "-62135596800", "253402300800"),
    *("", " ", "now", "inf", "nan", "2025-11-21\nx", "2025-W47-5", "1e3"),
    *("20251121T123005", "20251121T1230Z", "20251121T12", "2023", "44927.5", "20251399", 20251121),
    *("19991231", "20991231", "1970-01-02", "1970-01-01T23:59:59", 86_400, 86_399.5, 20251121.5),
    *("2090-01-01", "2018/07/19", 1_700_000_000_000, "18991231"),
    *(0, 1, -1, 1_700_000_000, 1.5, 1.0000005, 1700000000.123456, -62_135_596_800),
    *(-62_135_596_801, 253_402_300_799, 253_402_300_800, 1e300, float("nan"), float("-inf")),
]


@pytest.mark.parametrize("field", ["user_id", "item_id", "event_id"])
@pytest.mark.parametrize("cell", IDS)
def test_ids_are_those_of_the_tables(field: str, cell: object) -> None:
    assert_same(field, cell)


@pytest.mark.parametrize("cell", ["", "view", " view ", "x" * 600, 7, 2.0])
def test_kinds_are_those_of_the_tables(cell: object) -> None:
    assert_same("event", cell)


@pytest.mark.parametrize("cell", NUMBERS)
def test_values_are_those_of_the_tables(cell: object) -> None:
    assert_same("value", cell)


@pytest.mark.parametrize("cell", TIMES)
def test_times_are_those_of_the_tables(cell: object) -> None:
    assert_same("timestamp", cell)


@given(st.text(st.sampled_from("0123456789-+:.,TZtz eE"), max_size=30))
def test_near_times_are_those_of_the_tables(text: str) -> None:
    assert_same("timestamp", text)


@given(st.text(st.sampled_from("0123456789-+._eE naif"), max_size=12))
def test_near_numbers_are_those_of_the_tables(text: str) -> None:
    assert_same("value", text)


@given(st.datetimes(), st.timedeltas(timedelta(hours=-23, minutes=-59), timedelta(hours=23)))
def test_times_with_offsets_are_those_of_the_tables(at: datetime, offset: timedelta) -> None:
    minutes = int(offset.total_seconds() / 60)
    sign = "-" if minutes < 0 else "+"
    assert_same("timestamp", f"{at.isoformat()}{sign}{divmod(abs(minutes), 60)[0]:02}")
    assert_same(
        "timestamp", f"{at.isoformat()}{sign}{'{:02}:{:02}'.format(*divmod(abs(minutes), 60))}"
    )


@given(st.floats(-62_135_596_800, 253_402_300_799))
def test_seconds_are_those_of_the_tables(seconds: float) -> None:
    assert_same("timestamp", seconds)


def test_a_number_too_large_for_a_float() -> None:
    for field in ("value", "timestamp"):
        with pytest.raises(ValidationError):
            EventIn.model_validate(EVENT | {field: 10**400})


@pytest.mark.parametrize("name", ["user_id", "item_id"])
@pytest.mark.parametrize("value", ["NULL", "nan", " ", "\t"])
async def test_what_stands_for_no_id_in_a_table_stands_for_none_here(
    client: httpx.AsyncClient, fake: FakeEngine, name: str, value: str
) -> None:
    response = await client.post("/v1/events", json=[EVENT | {name: value}])
    assert response.status_code == 422
    assert response.json()["errors"][0]["location"][-1] == name
    put = await client.put(f"/v1/users/{quote(value)}", json={})
    assert put.status_code == 422
    link = await client.put("/v1/items/1", json={"categories": [value]})
    assert link.status_code == 422
    assert fake.calls == []
