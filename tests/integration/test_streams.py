"""Events from a real Kafka into a real Neo4j."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from loaders.gateway import Neo4jAddress, Neo4jGateway
from loaders.schema import apply_schema
from recsvc.event_kinds import default_events
from recsvc.graph.store import Store
from recsvc.outcomes.recommendation_id import RecommendationIds
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.recommend.graph_writer import GraphWriter
from recsvc.settings import KafkaSettings
from recsvc.snapshot.deletion import DeletedNode, delete_nodes
from recsvc.streams.consume import consume_until_stopped
from recsvc.streams.messages import MessageReader
from recsvc.streams.publish import publish_until_stopped
from recsvc.streams.stream_metrics import StreamMetrics
from tests.faults.tcp_proxy import tcp_proxy
from tests.kafka_broker import Broker, running_broker
from tests.odd_shop import ODD_IDS
from tests.ports import free_ports
from tests.statement import statement
from tests.waiting import PATIENCE_SECONDS, until_then

pytestmark = [pytest.mark.neo4j, pytest.mark.slow, pytest.mark.long]

DONE = """
MATCH (u:User)-[r:INTERACTED]->(i:Item)
RETURN u.user_id AS user_id, i.item_id AS item_id, r.event AS event, r.count AS count
ORDER BY user_id, item_id, event
"""


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    with running_broker(tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def topic() -> str:
    """A topic of the test's own: the tests of each line of Neo4j have the same broker."""
    return f"shop-{uuid.uuid4().hex[:8]}"


def event(number: int, **more: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "user_id": "ann", "item_id": "i1", "event": "view", **more}


async def produce(
    broker: Broker, topic: str, values: Sequence[Any], compression: str | None = None
) -> None:
    async with AIOKafkaProducer(
        bootstrap_servers=broker.address, max_request_size=10_000_000, compression_type=compression
    ) as producer:
        for value in values:
            body = value if isinstance(value, bytes) else json.dumps(value).encode()
            await producer.send_and_wait(topic, body, key=b"k", headers=[("shop", b"one")])


async def consumed(broker: Broker, topic: str, count: int) -> list[Any]:
    """So many messages of a topic, from its beginning."""
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=broker.address, auto_offset_reset="earliest"
    ) as consumer:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return [await consumer.getone() for _ in range(count)]


async def committed(broker: Broker, topic: str, group: str = "recsvc") -> int:
    """How many messages of a topic a group is done with."""
    async with AIOKafkaConsumer(bootstrap_servers=broker.address, group_id=group) as consumer:
        partitions = [TopicPartition(topic, n) for n in (0, 1)]
        return sum([await consumer.committed(each) or 0 for each in partitions])


def kafka(broker: Broker, topic: str) -> KafkaSettings:
    return KafkaSettings(
        brokers=(broker.address,), topics=(topic,), dead_letter_topic=f"{topic}.dead"
    )


@asynccontextmanager
async def consuming(
    settings: KafkaSettings, address: Neo4jAddress, folder: Path, *, seconds: float = 30.0
) -> AsyncIterator[StreamMetrics]:
    """`consume_until_stopped` in this process; the block ends with a SIGTERM to it."""
    metrics = StreamMetrics(default_events())
    store = Store(address, timeout_seconds=seconds)
    writer = GraphWriter(store, ActiveSnapshot(store, folder))
    reader = MessageReader(RecommendationIds(b"0123456789abcdef"), keep_days=90)
    await store.open()
    work = asyncio.create_task(consume_until_stopped(settings, reader, writer, metrics))
    try:
        yield metrics
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(work, PATIENCE_SECONDS)
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)
        await writer.stop()
        await store.close()


def value(metrics: StreamMetrics, name: str, **labels: str) -> float:
    return metrics.registry.get_sample_value(name, labels) or 0.0


async def test_events_are_stored_once_and_poison_is_kept_with_its_reason(
    broker: Broker, topic: str, gateway: Neo4jGateway, tmp_path: Path
) -> None:
    odd = [event(n, user_id=i, event_id=i) for n, i in enumerate(ODD_IDS)]
    good = [event(1), [event(2), event(1)], {"events": [event(3, event="purchase")]}, odd]
    too_much = [event(4, value=9e5), event(5, value=9e5)]
    poison = [b"{", {"user_id": "ann"}, b" " * 2_200_000, too_much]
    await produce(broker, topic, [*good, *poison, event(6)])
    settings = kafka(broker, topic)
    async with consuming(settings, gateway.address, tmp_path) as metrics:
        letters = await consumed(broker, f"{topic}.dead", 4)
        await until_then(lambda: value(metrics, "recsvc_consumed_messages_total", topic=topic) == 5)
    stored = {(r["user_id"], r["event"]): r["count"] for r in statement(gateway, DONE)}
    expected = {("ann", "view"): 3, ("ann", "purchase"): 1}
    assert stored == expected | {(each, "view"): 1 for each in ODD_IDS}
    told = {dict(letter.headers)["recsvc.offset"]: letter for letter in letters}
    for offset, body in zip(range(4, 8), poison, strict=True):
        letter = told[str(offset).encode()]
        assert letter.value == (body if isinstance(body, bytes) else json.dumps(body).encode())
        headers = dict(letter.headers)
        assert (letter.key, headers["shop"], headers["recsvc.topic"]) == (
            b"k", b"one", topic.encode(),
        )  # fmt: skip
        assert headers["recsvc.reason"]
    assert b"beyond" in dict(told[b"7"].headers)["recsvc.reason"]
    assert await committed(broker, topic) == 9


async def test_messages_are_read_however_their_producer_compressed_them(
    broker: Broker, topic: str, gateway: Neo4jGateway, tmp_path: Path
) -> None:
    for number, compression in enumerate(("gzip", "lz4", "snappy", "zstd")):
        events = [event(10 * number + each) for each in range(10)]
        await produce(broker, topic, [events], compression)
    async with consuming(kafka(broker, topic), gateway.address, tmp_path) as metrics:
        await until_then(lambda: value(metrics, "recsvc_consumed_messages_total", topic=topic) == 4)
    assert [row["count"] for row in statement(gateway, DONE)] == [40]


CUT_OFF = """
import os, sys
from aiokafka import AIOKafkaConsumer
async def killed(self, offsets=None):
    os.kill(os.getpid(), 9)
AIOKafkaConsumer.commit = killed
from recsvc.cli import main
sys.argv = ["recsvc", *sys.argv[1:]]
main()
"""


def command(
    environment: Mapping[str, str], *arguments: str, code: str | None = None
) -> subprocess.Popen[str]:
    program = ["-c", code] if code else ["-m", "recsvc"]
    return subprocess.Popen(
        [sys.executable, *program, "consume", *arguments],
        env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


async def test_killed_between_the_commits_each_event_counts_once(
    broker: Broker, topic: str, gateway: Neo4jGateway, environment: dict[str, str]
) -> None:
    without_id = {"user_id": "bob", "item_id": "i1", "event": "view"}
    await produce(broker, topic, [*map(event, range(50)), without_id, b"{"])
    (port,) = free_ports(1)
    options = ["--brokers", broker.address, "--topic", topic, "--group", topic]
    for _ in range(2):
        process = command(environment, *options, code=CUT_OFF)
        await asyncio.to_thread(process.communicate, timeout=PATIENCE_SECONDS)
        assert process.returncode == -9
    assert await committed(broker, topic, topic) == 0
    process = command(environment, *options, "--metrics-port", str(port))
    lag = f'recsvc_consumer_lag{{partition="%d",topic="{topic}"}} 0.0'

    def caught_up() -> bool:
        try:
            with urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                text = answer.read().decode()
        except OSError:
            return False
        return all(lag % partition in text for partition in (0, 1))

    await until_then(caught_up)
    process.terminate()
    _, told = await asyncio.to_thread(process.communicate, timeout=PATIENCE_SECONDS)
    assert process.returncode == 0, told
    lines = [json.loads(line) for line in told.splitlines()]
    assert lines[-1]["event"] == "consume ended"
    assert "ann" not in told
    assert await committed(broker, topic, topic) == 52
    counts = [(row["user_id"], row["count"]) for row in statement(gateway, DONE)]
    assert counts == [("ann", 50), ("bob", 1)]


async def test_it_waits_for_neo4j_and_goes_on(
    broker: Broker, topic: str, gateway: Neo4jGateway, tmp_path: Path
) -> None:
    address = urlsplit(gateway.address.uri)
    assert address.hostname is not None
    assert address.port is not None
    with tcp_proxy(address.hostname, address.port) as proxy:
        through = Neo4jAddress(
            f"bolt://127.0.0.1:{proxy.port}", gateway.address.user, gateway.address.password
        )
        async with consuming(kafka(broker, topic), through, tmp_path, seconds=2.0) as metrics:
            await produce(broker, topic, [event(0)])
            seen = "recsvc_consumed_messages_total"
            await until_then(lambda: value(metrics, seen, topic=topic) == 1)
            proxy.refuses()
            proxy.cut()
            await produce(broker, topic, [*map(event, range(1, 500)), b"{"])
            await asyncio.sleep(3)
            assert value(metrics, seen, topic=topic) == 1
            assert await committed(broker, topic) == 1
            proxy.passes()
            await until_then(lambda: value(metrics, seen, topic=topic) == 500)
    assert await committed(broker, topic) == 501
    assert [row["count"] for row in statement(gateway, DONE)] == [500]


async def test_a_broker_that_is_killed_and_comes_back_loses_nothing(
    broker: Broker, topic: str, gateway: Neo4jGateway, tmp_path: Path
) -> None:
    async with consuming(kafka(broker, topic), gateway.address, tmp_path) as metrics:
        await produce(broker, topic, [*map(event, range(100))])
        seen = "recsvc_consumed_messages_total"
        await until_then(lambda: value(metrics, seen, topic=topic) == 100)
        broker.end()
        broker.start()
        await asyncio.to_thread(broker.wait)
        await produce(broker, topic, [*map(event, range(50, 200))])
        await until_then(lambda: value(metrics, seen, topic=topic) >= 250)
    assert [row["count"] for row in statement(gateway, DONE)] == [200]


async def test_changes_are_published_in_their_order_and_go_on_where_they_ended(
    broker: Broker, topic: str, gateway: Neo4jGateway
) -> None:
    apply_schema(gateway)
    store = Store(gateway.address, timeout_seconds=30.0)
    store.keeps_changes = True
    await store.open()
    now = datetime.now(UTC)

    async def add(*numbers: int) -> None:
        more = {"value": None, "timestamp": now}
        await store.add_events([event(n, user_id=f"u{n % 3}", **more) for n in numbers])

    async def publish(until_position: int) -> None:
        work = asyncio.create_task(publish_until_stopped(settings, store, topic, None))
        while await store.published(topic) < until_position:
            assert not work.done()
            await asyncio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(work, PATIENCE_SECONDS)

    settings = KafkaSettings(brokers=(broker.address,))
    await add(*range(40))
    await publish(40)
    await add(*range(40, 50))
    delete_nodes(gateway, [DeletedNode("user", "u1")], keeps_changes=True)
    await publish(51)
    await store.close()
    messages = await consumed(broker, topic, 51)
    by_partition: dict[int, list[int]] = {}
    for message in messages:
        change = json.loads(message.value)
        by_partition.setdefault(message.partition, []).append(change["position"])
        if change["change"] == "deletion":
            assert message.key == DeletedNode("user", "u1").digest.encode()
        elif change["change"] == "event":
            assert message.key == DeletedNode("user", change["user_id"]).digest.encode()
    assert all(positions == sorted(positions) for positions in by_partition.values())
    every = [position for positions in by_partition.values() for position in positions]
    assert sorted(every) == [*range(1, 52)]
