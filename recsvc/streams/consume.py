"""Events from Kafka into the graph: at least once in, once in effect.

    messages → events → one transaction (Neo4j) → offsets (Kafka)

Offsets are committed once the graph has the events, so a process that is killed in between reads
them again; an event counts once by its id. What cannot be stored goes to the topic of dead letters
before its offset is committed. While Neo4j is away nothing more is read.
"""

import asyncio
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import CommitFailedError, IllegalStateError

from loaders.errors import LoaderError, Neo4jAwayError
from recsvc.recommend.graph_writer import GraphWriter
from recsvc.settings import KafkaSettings
from recsvc.streams.broker import new_consumer, new_producer, started
from recsvc.streams.dead_letters import DeadLetters
from recsvc.streams.messages import MessageReader, Record, Refused, Told
from recsvc.streams.stopping import FIRST_PAUSE_SECONDS, longer, pause, until_stopped
from recsvc.streams.stream_metrics import StreamMetrics

_POLL_MILLISECONDS: Final = 500
_MOST_MESSAGES: Final = 1_000
_MOST_ROWS: Final = 2_000
"""Rows after which messages are written, at the latest with the next one."""

_log = structlog.get_logger()


class _StoppedError(Exception):
    """Ends the waiting for Neo4j; never leaves this module."""


class Intake:
    """Takes messages into the graph.

    Args:
        reader: reads them.
        writer: writes their events.
        letters: where those go that cannot be stored.
        metrics: counts.
        stop: set once the end is asked for.
    """

    def __init__(
        self,
        reader: MessageReader,
        writer: GraphWriter,
        letters: DeadLetters,
        metrics: StreamMetrics,
        stop: asyncio.Event,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._letters = letters
        self._metrics = metrics
        self._stop = stop

    async def take(self, records: Sequence[Record]) -> None:
        """Store messages: each is in the graph, or a dead letter, when this returns.

        Raises:
            _StoppedError: Neo4j is away, and the end is asked for.
            KafkaError: a dead letter cannot be kept.
        """
        for told, refused in self._parts(records):
            letters = [*refused, *await self._written(told)]
            await self._letters.send(letters)
            self._metrics.observe_refused(letters)

    def _parts(self, records: Sequence[Record]) -> Iterator[tuple[list[Told], list[Refused]]]:
        """Messages as they are written together."""
        told: list[Told] = []
        refused: list[Refused] = []
        rows = 0
        for record in records:
            message = self._reader.read(record)
            if isinstance(message, Refused):
                refused.append(message)
                continue
            told.append(message)
            rows += len(message.rows) + len(message.outcomes)
            if rows >= _MOST_ROWS:
                yield told, refused
                told, refused, rows = [], [], 0
        yield told, refused

    async def _written(self, messages: Sequence[Told]) -> list[Refused]:
        """Write messages, however long Neo4j is away. Returns those that the graph refuses.

        Those that are written together go into one transaction; where one is refused, into smaller
        ones, until the others are through (`recsvc.graph.group_commit`).
        """
        refused: list[Refused] = []
        seconds = FIRST_PAUSE_SECONDS
        while messages:
            answers = await asyncio.gather(
                *(self._writer.add_events(each.rows, each.outcomes) for each in messages),
                return_exceptions=True,
            )
            again: list[Told] = []
            away: Neo4jAwayError | None = None
            for each, answer in zip(messages, answers, strict=True):
                if isinstance(answer, int):
                    self._metrics.observe_told(each, answer)
                elif isinstance(answer, Neo4jAwayError):
                    again.append(each)
                    away = answer
                elif isinstance(answer, LoaderError):
                    refused.append(Refused(each.record, "refused", str(answer)))
                else:
                    raise answer
            if away is not None:
                await self._wait(seconds, away)
                seconds = longer(seconds)
            messages = again
        return refused

    async def _wait(self, seconds: float, error: Neo4jAwayError) -> None:
        _log.warning("Neo4j cannot store events yet", reason=error.reason, again_seconds=seconds)
        await pause(self._stop, seconds)
        if self._stop.is_set():
            raise _StoppedError


async def consume_until_stopped(
    settings: KafkaSettings, reader: MessageReader, writer: GraphWriter, metrics: StreamMetrics
) -> None:
    """Take events in until SIGTERM or SIGINT; then end what is in hand, and return.

    Args:
        settings: which Kafka.
        reader: of messages.
        writer: of events, on a store that is open.
        metrics: counts.

    Raises:
        StreamError: Kafka does not answer at the start, or refuses what is asked.
        SettingsError: something for it is missing.
    """
    await until_stopped(partial(_consume, settings, reader, writer, metrics))
    _log.info("consume ended")


async def _consume(
    settings: KafkaSettings,
    reader: MessageReader,
    writer: GraphWriter,
    metrics: StreamMetrics,
    stop: asyncio.Event,
) -> None:
    topics = (*settings.topics, settings.dead_letter_topic)
    async with (
        started(new_producer(settings), settings, topics) as producer,
        started(new_consumer(settings), settings, topics) as consumer,
    ):
        letters = DeadLetters(producer, settings.dead_letter_topic)
        await letters.check()
        intake = Intake(reader, writer, letters, metrics, stop)
        watcher = asyncio.create_task(metrics.watch_lag(consumer))
        _log.info("consuming", topics=settings.topics, group=settings.group)
        try:
            while not stop.is_set():
                await _take_next(consumer, intake)
        except _StoppedError:
            pass  # what was not written is read again
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)


async def _take_next(consumer: AIOKafkaConsumer, intake: Intake) -> None:
    """Take in what has come, and commit its offsets."""
    batches: dict[TopicPartition, list[Record]] = await consumer.getmany(
        timeout_ms=_POLL_MILLISECONDS, max_records=_MOST_MESSAGES
    )
    if not batches:
        return
    await intake.take([record for batch in batches.values() for record in batch])
    offsets = {partition: batch[-1].offset + 1 for partition, batch in batches.items()}
    try:
        await consumer.commit(offsets)
    except (CommitFailedError, IllegalStateError):
        # The partitions went to another process, which reads these messages again.
        _log.info("offsets not committed", reason="the partitions of the group were dealt anew")
