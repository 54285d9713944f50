"""What a message says, and why others are refused: as the body of `POST /v1/events`."""

import json
import re
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiokafka import ConsumerRecord

from loaders.limits import MAX_BODY_BYTES, MAX_CONTAINERS
from recsvc.outcomes.recommendation_id import RecommendationIds
from recsvc.streams.messages import MessageReader, Record, Refused, Told
from tests.neo4j_servers import CHECKOUT

SENT = 1_760_000_000_000
READER = MessageReader(RecommendationIds(b"0123456789abcdef"), keep_days=90)
EVENT = {"event_id": "7d1f", "user_id": "2", "item_id": "289", "event": "listen", "value": 3}


def record(value: bytes | None, *, offset: int = 5, timestamp: int = SENT) -> Record:
    size = len(value or b"")
    return ConsumerRecord("shop", 0, offset, timestamp, 0, None, value, None, 0, size, ())


def rows(body: Any, **place: int) -> list[Any]:
    told = READER.read(record(json.dumps(body).encode(), **place))
    assert isinstance(told, Told), told
    return list(told.rows)


@pytest.mark.parametrize("body", [EVENT, [EVENT], {"events": [EVENT]}])
def test_an_event_a_list_and_a_body_of_the_service_are_the_same(body: Any) -> None:
    (row,) = rows(body)
    expected = {**EVENT, "timestamp": datetime.fromtimestamp(SENT / 1000, UTC)}
    assert row == expected


def test_the_message_of_the_guide_is_read() -> None:
    guide = (CHECKOUT / "docs" / "streams.md").read_text(encoding="utf-8")
    (body,) = re.findall(r"^```json\n(.*?)^```$", guide, re.DOTALL | re.MULTILINE)
    (row,) = rows(json.loads(body))
    assert (row["event_id"], row["user_id"], row["item_id"]) == ("7d1f", "2", "289")
    assert row["timestamp"] == datetime(2025, 11, 21, 12, tzinfo=UTC)


def test_an_event_without_an_id_has_that_of_its_place_and_keeps_it() -> None:
    without = {name: value for name, value in EVENT.items() if name != "event_id"}
    first, second = rows([without, without])
    assert first["event_id"] != second["event_id"]
    assert [first, second] == rows([without, without])
    others = [rows(without, offset=6), rows(without, timestamp=SENT + 1)]
    ids = {first["event_id"], second["event_id"], *(other[0]["event_id"] for other in others)}
    assert len(ids) == 4


def test_a_time_that_cannot_be_is_that_of_receipt() -> None:
    ahead = datetime.now(UTC) + timedelta(hours=1)
    for timestamp in (-1, 0, int(ahead.timestamp() * 1000)):
        (row,) = rows(EVENT, timestamp=timestamp)
        assert abs(row["timestamp"] - datetime.now(UTC)) < timedelta(minutes=1)
    (row,) = rows({**EVENT, "timestamp": "2025-11-21T12:00:00Z"}, timestamp=-1)
    assert row["timestamp"] == datetime(2025, 11, 21, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("value", "cause", "said"),
    [
        (None, "json", "expected JSON in UTF-8"),
        (b"", "json", "expected JSON in UTF-8"),
        (b"\xff\xfe\x00", "json", "expected JSON in UTF-8"),
        (b'{"user_id": "2"', "json", "expected JSON in UTF-8"),
        (b'{"user_id": "2", "user_id": "3", "item_id": "1"}', "json", "stands twice"),
        (b"[" * 15_000 + b"]" * 15_000, "json", "expected JSON in UTF-8"),
        (b"[" * (MAX_CONTAINERS + 1), "size", f"{MAX_CONTAINERS} lists and objects"),
        (b" " * (MAX_BODY_BYTES + 1), "size", f"at most {MAX_BODY_BYTES}"),
        (b"7", "fields", ""),
        (b"[]", "fields", "events"),
        (b"{}", "fields", "events.0.user_id: Field required (and 1 more)"),
        (b'{"user_id": "2"}', "fields", "events.0.item_id: Field required"),
        (b'{"user_id": "NaN", "item_id": "1"}', "fields", "events.0.user_id: expected an id"),
        (b'{"user_id": "2", "item_id": "1", "x": 1}', "fields", "events.0.x: Extra inputs"),
        (b'{"user_id": "2", "item_id": "1", "value": NaN}', "fields", "events.0.value: expected"),
        (
            b'{"user_id": "2", "item_id": "1", "recommendation_id": "AWkwAbCd"}',
            "fields",
            "events.0.recommendation_id",
        ),
    ],
)
def test_what_the_service_would_refuse_is_refused_with_its_reason(
    value: bytes | None, cause: str, said: str
) -> None:
    refused = READER.read(record(value))
    assert isinstance(refused, Refused)
    assert refused.cause == cause
    assert said in refused.reason


def test_a_reason_holds_nothing_of_a_value() -> None:
    refused = READER.read(record(b'{"user_id": "2", "item_id": "1", "value": "hunter2"}'))
    assert isinstance(refused, Refused)
    assert "hunter2" not in refused.reason


def test_a_body_of_too_many_events_is_refused() -> None:
    refused = READER.read(record(json.dumps([EVENT] * 1001).encode()))
    assert isinstance(refused, Refused)
    assert refused.cause == "fields"
    assert "1000" in refused.reason
