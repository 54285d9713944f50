"""The feed of changes into Kafka: in its order, at least once.

    feed (Neo4j) → messages (Kafka) → how far it is (Neo4j)

How far it is, is noted once the brokers have the messages, so a process that is killed in between
sends them again; each has its position.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

import orjson
import structlog
from aiokafka import AIOKafkaProducer

from loaders.errors import Neo4jAwayError
from recsvc.graph.store import Store
from recsvc.settings import KafkaSettings
from recsvc.snapshot.deletion import DeletedNode
from recsvc.streams.broker import new_producer, started
from recsvc.streams.stopping import FIRST_PAUSE_SECONDS, longer, pause, until_stopped

_AT_A_TIME: Final = 500
_LOOK_SECONDS: Final = 1.0

_log = structlog.get_logger()


async def publish_until_stopped(
    settings: KafkaSettings, store: Store, topic: str, after: int | None
) -> None:
    """Send changes until SIGTERM or SIGINT.

    Args:
        settings: which Kafka.
        store: has the feed, and is open.
        topic: where they go.
        after: the position to begin after; None: where it ended last.

    Raises:
        ChangesGoneError: what comes next is not kept any more.
        StreamError: Kafka does not answer at the start, or refuses what is asked.
        SettingsError: something for it is missing.
    """
    await until_stopped(partial(_publish, settings, store, topic, after))
    _log.info("publish ended")


async def _publish(
    settings: KafkaSettings, store: Store, topic: str, after: int | None, stop: asyncio.Event
) -> None:
    async with started(new_producer(settings), settings, [topic]) as producer:
        await producer.partitions_for(topic)
        seconds, position = FIRST_PAUSE_SECONDS, after
        while not stop.is_set():
            try:
                if position is None:
                    position = await store.published(topic)
                sent = await _publish_next(store, producer, topic, position)
            except Neo4jAwayError as error:
                _log.warning("Neo4j does not answer", reason=error.reason, again_seconds=seconds)
                await pause(stop, seconds)
                seconds = longer(seconds)
                continue
            seconds = FIRST_PAUSE_SECONDS
            if sent == position:
                await pause(stop, _LOOK_SECONDS)
            position = sent


async def _publish_next(store: Store, producer: AIOKafkaProducer, topic: str, after: int) -> int:
    """Send what comes after a position. Returns the position of the last."""
    part = await store.changes(after, _AT_A_TIME)
    if part.changes:
        await _send(producer, topic, part.changes)
        await store.note_published(topic, part.next)
        _log.info("published", changes=len(part.changes), position=part.next, last=part.last)
    return part.next


async def _send(
    producer: AIOKafkaProducer, topic: str, changes: Sequence[Mapping[str, Any]]
) -> None:
    """Send changes in their order; all brokers in sync have them when this returns."""
    sending = [
        await producer.send(topic, orjson.dumps(dict(each)), key=key_of(each)) for each in changes
    ]
    await asyncio.gather(*sending)


def key_of(change: Mapping[str, Any]) -> bytes | None:
    """The key of a change's message: the digest of the user that it is about, else of the node.

    So all messages of a user come in their order, and their deletion has the same key.
    """
    if change["change"] == "deletion":
        return str(change["digest"]).encode()
    for kind in ("user", "item", "category"):
        if (node_id := change.get(f"{kind}_id")) is not None:
            return DeletedNode(kind, node_id).digest.encode()
    return None
