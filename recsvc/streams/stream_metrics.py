"""What can be seen of `recsvc consume` from outside: its metrics and its log.

No line and no metric holds the id of a user or item.
"""

import asyncio
from collections import Counter as Count
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    ProcessCollector,
    start_http_server,
)

from recsvc.event_kinds import EventSettings, unknown_kinds
from recsvc.streams.messages import Refused, Told

LOOK_SECONDS: Final = 10.0
"""How often the lag is looked at."""
_MOST_LAGS: Final = 50
_MOST_KINDS: Final = 100

_log = structlog.get_logger()


class StreamMetrics:
    """The metrics of one process.

    Args:
        events: the kinds of events that have a weight.
    """

    def __init__(self, events: Mapping[str, EventSettings]) -> None:
        self._weights = events
        self._named_kinds: set[str] = set()
        self._since = Count[str]()
        self.registry = CollectorRegistry()
        self._lag = Gauge(
            "recsvc_consumer_lag",
            "Messages of a partition that are not committed yet.",
            ("topic", "partition"),
            registry=self.registry,
        )
        self._messages = Counter(
            "recsvc_consumed_messages",
            "Messages that are stored, by topic.",
            ("topic",),
            registry=self.registry,
        )
        self._events = Counter(
            "recsvc_consumed_events",
            "Events that are stored, and whether they were new (yes) or known by their id (no).",
            ("new",),
            registry=self.registry,
        )
        self._unknown = Counter(
            "recsvc_events_without_weight",
            "Events that are stored, whose kind has no weight: they count nothing.",
            registry=self.registry,
        )
        self._letters = Counter(
            "recsvc_dead_letters",
            "Messages that could not be stored, by topic and cause.",
            ("topic", "cause"),
            registry=self.registry,
        )
        ProcessCollector(registry=self.registry)

    def serve(self, port: int) -> None:
        """Answer with the metrics on a port of this machine.

        Raises:
            OSError: something listens there.
        """
        start_http_server(port, "127.0.0.1", self.registry)

    def observe_told(self, told: Told, new: int) -> None:
        """Count a message that is stored."""
        self._messages.labels(told.record.topic).inc()
        self._events.labels("yes").inc(new)
        self._events.labels("no").inc(len(told.rows) - new)
        self._since.update(messages=1, events=len(told.rows), new=new)
        self._observe_kinds([row["event"] for row in told.rows])

    def observe_refused(self, letters: Iterable[Refused]) -> None:
        """Count messages that cannot be stored, and say where each came from."""
        for letter in letters:
            record = letter.record
            self._letters.labels(record.topic, letter.cause).inc()
            self._since.update(dead_letters=1)
            _log.warning(
                "message refused", cause=letter.cause, topic=record.topic,
                partition=record.partition, offset=record.offset,
            )  # fmt: skip

    async def watch_lag(self, consumer: AIOKafkaConsumer) -> None:
        """Look at the lag from time to time, and log it where anything has happened."""
        before: Mapping[TopicPartition, int] = {}
        while True:
            try:
                lags = await lag_of(consumer)
            except KafkaError as error:
                _log.warning("the lag cannot be seen", reason=str(error))
            else:
                self._show(lags)
                if self._since or lags != before:
                    self._say(lags)
                before = lags
            await asyncio.sleep(LOOK_SECONDS)

    def _show(self, lags: Mapping[TopicPartition, int]) -> None:
        self._lag.clear()  # of partitions that others have now
        for partition, lag in lags.items():
            self._lag.labels(partition.topic, str(partition.partition)).set(lag)

    def _say(self, lags: Mapping[TopicPartition, int]) -> None:
        most = sorted(lags.items(), key=lambda each: -each[1])[:_MOST_LAGS]
        shown = {f"{each.topic}/{each.partition}": lag for each, lag in most}
        _log.info("consumed", **self._since, lag=sum(lags.values()), lag_of_partitions=shown)
        self._since.clear()

    def _observe_kinds(self, kinds: Sequence[str]) -> None:
        unknown = unknown_kinds(kinds, self._weights)
        self._unknown.inc(sum(kind in unknown for kind in kinds))
        for kind in set(unknown) - self._named_kinds:
            if len(self._named_kinds) < _MOST_KINDS:
                self._named_kinds.add(kind)
                _log.warning("events of a kind without a weight count nothing", kind=kind)


async def lag_of(consumer: AIOKafkaConsumer) -> dict[TopicPartition, int]:
    """How many messages of each partition of a consumer are not committed yet.

    Raises:
        KafkaError: the brokers do not tell.
    """
    partitions = sorted(consumer.assignment())
    if not partitions:
        return {}
    ends = await consumer.end_offsets(partitions)
    begins = await consumer.beginning_offsets(partitions)
    lags: dict[TopicPartition, int] = {}
    for partition in partitions:
        committed = await consumer.committed(partition)
        done = begins[partition] if committed is None else max(committed, begins[partition])
        lags[partition] = max(0, ends[partition] - done)
    return lags
