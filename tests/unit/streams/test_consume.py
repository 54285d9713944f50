"""Messages into a made store: what is written together, tried again, and set aside."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, cast

import pytest
from aiokafka import ConsumerRecord, codec

from loaders.errors import Neo4jUnavailableError, SumBeyondError
from loaders.gateway import Neo4jAddress
from recsvc.event_kinds import default_events
from recsvc.graph.store import Store
from recsvc.outcomes.recommendation_id import RecommendationIds
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.recommend.graph_writer import GraphWriter
from recsvc.streams import consume
from recsvc.streams.consume import Intake
from recsvc.streams.dead_letters import DeadLetters
from recsvc.streams.messages import MessageReader, Record, Refused
from recsvc.streams.stream_metrics import StreamMetrics
from tests.waiting import PATIENCE_SECONDS


class Ledger(Store):
    """Counts each event once, as the graph does; is away and refuses as it is told."""

    def __init__(self) -> None:
        super().__init__(Neo4jAddress("bolt://nowhere", "", ""), timeout_seconds=600.0)
        self.transactions: list[list[str]] = []
        self.known: set[str] = set()
        self.refused: set[str] = set()
        self.failures = 0

    async def add_events(self, rows: Sequence[Any], outcomes: Sequence[Any] = ()) -> list[str]:
        ids = [row["event_id"] for row in rows]
        if self.failures:
            self.failures -= 1
            raise Neo4jUnavailableError("nobody answers")
        if beyond := self.refused.intersection(ids):
            raise SumBeyondError(beyond)
        self.transactions.append(ids)
        new = list(dict.fromkeys(each for each in ids if each not in self.known))
        self.known.update(new)
        return new


class Kept(DeadLetters):
    def __init__(self) -> None:
        self.letters: list[Refused] = []

    async def send(self, letters: Sequence[Refused]) -> None:
        self.letters += letters


class Taking:
    def __init__(self) -> None:
        self.store, self.letters, self.stop = Ledger(), Kept(), asyncio.Event()
        self.metrics = StreamMetrics(default_events())
        self.writer = GraphWriter(self.store, cast(ActiveSnapshot, None))
        reader = MessageReader(RecommendationIds(b"0123456789abcdef"), keep_days=90)
        self.intake = Intake(reader, self.writer, self.letters, self.metrics, self.stop)

    def count(self, name: str, **labels: str) -> float:
        return self.metrics.registry.get_sample_value(name, labels) or 0.0


@pytest.fixture
async def taking(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Taking]:
    monkeypatch.setattr(consume, "FIRST_PAUSE_SECONDS", 0.001)
    taking = Taking()
    yield taking
    await taking.writer.stop()


def message(offset: int, *ids: str, event: str = "view") -> Record:
    events = [{"event_id": i, "user_id": "u", "item_id": "i", "event": event} for i in ids]
    value = json.dumps(events).encode()
    return ConsumerRecord("shop", 0, offset, 1_760_000_000_000, 0, None, value, None, 0, 1, ())


def no_json(offset: int) -> Record:
    return ConsumerRecord("shop", 0, offset, 1_760_000_000_000, 0, None, b"{", None, 0, 1, ())


async def test_messages_that_come_together_are_one_transaction_and_poison_is_set_aside(
    taking: Taking,
) -> None:
    await taking.intake.take([message(0, "a"), no_json(1), message(2, "b", "c"), message(3, "a")])
    assert taking.store.transactions == [["a", "b", "c", "a"]]
    assert [(letter.record.offset, letter.cause) for letter in taking.letters.letters] == [
        (1, "json")
    ]
    assert taking.count("recsvc_consumed_messages_total", topic="shop") == 3
    assert taking.count("recsvc_consumed_events_total", new="yes") == 3
    assert taking.count("recsvc_consumed_events_total", new="no") == 1
    assert taking.count("recsvc_dead_letters_total", topic="shop", cause="json") == 1


async def test_what_the_graph_refuses_is_set_aside_and_all_others_are_written(
    taking: Taking,
) -> None:
    taking.store.refused = {"n37"}
    await taking.intake.take([message(n, f"n{n}") for n in range(100)])
    assert taking.store.known == {f"n{n}" for n in range(100)} - {"n37"}
    (letter,) = taking.letters.letters
    assert (letter.record.offset, letter.cause) == (37, "refused")
    assert "beyond" in letter.reason


async def test_what_cannot_be_written_now_is_written_later_and_nothing_is_set_aside(
    taking: Taking,
) -> None:
    taking.store.failures = 3
    await taking.intake.take([message(n, f"n{n}") for n in range(10)])
    assert taking.store.known == {f"n{n}" for n in range(10)}
    assert taking.letters.letters == []


async def test_the_end_is_not_held_up_by_a_graph_that_is_away(taking: Taking) -> None:
    taking.store.failures = 10**9
    taking.stop.set()
    async with asyncio.timeout(PATIENCE_SECONDS):
        with pytest.raises(consume._StoppedError):
            await taking.intake.take([message(0, "a")])
    assert taking.letters.letters == []


async def test_many_rows_are_written_in_parts_and_none_of_them_waits_in_vain(
    taking: Taking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(consume, "FIRST_PAUSE_SECONDS", 3600.0)
    ids = [[f"{n}-{k}" for k in range(900)] for n in range(30)]
    async with asyncio.timeout(PATIENCE_SECONDS):
        await taking.intake.take([message(n, *each) for n, each in enumerate(ids)])
    assert len(taking.store.known) == 27_000
    assert max(map(len, taking.store.transactions)) <= 2000


async def test_kinds_without_a_weight_are_counted(taking: Taking) -> None:
    await taking.intake.take([message(0, "a", event="borrowed"), message(1, "b")])
    assert taking.count("recsvc_events_without_weight_total") == 1


@pytest.mark.parametrize("name", ["gzip", "lz4", "snappy", "zstd"])
def test_messages_can_be_read_however_their_producer_compressed_them(name: str) -> None:
    assert getattr(codec, f"has_{name}")()
