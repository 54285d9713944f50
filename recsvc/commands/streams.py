"""Events from Kafka, and changes to it."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ValidationError

from recsvc.commands.connecting import make_store, open_write_counters, recommendation_ids
from recsvc.errors import SettingsError
from recsvc.recommend.active_snapshot import ActiveSnapshot
from recsvc.recommend.graph_writer import GraphWriter
from recsvc.settings import KafkaSettings, Settings, load_settings

if TYPE_CHECKING:
    from recsvc.streams.stream_metrics import StreamMetrics


def consume(
    brokers: Annotated[
        str | None, typer.Option(help="Brokers of Kafka, with commas between; else kafka.brokers.")
    ] = None,
    topic: Annotated[
        list[str] | None, typer.Option(help="A topic with events, repeatable; else kafka.topics.")
    ] = None,
    group: Annotated[str | None, typer.Option(help="Consumer group; else kafka.group.")] = None,
    metrics_port: Annotated[
        int | None,
        typer.Option(min=1, max=65535, help="Port on 127.0.0.1 for metrics; else none."),
    ] = None,
) -> None:
    """Store events from Kafka, each once, until SIGTERM or Ctrl-C.

    What cannot be stored goes to the topic of dead letters, with the reason.
    """
    from recsvc.service.listening import check_address
    from recsvc.streams.stream_metrics import StreamMetrics

    settings = load_settings()
    kafka = _with_options(
        settings.kafka, {"brokers": brokers, "topics": topic or None, "group": group}
    )
    if not kafka.topics:
        raise SettingsError("no topic is named: set topics in [kafka], or --topic")
    metrics = StreamMetrics(settings.events)
    if metrics_port is not None:
        check_address("127.0.0.1", metrics_port)
        metrics.serve(metrics_port)
    asyncio.run(_consume(settings, kafka, metrics))


async def _consume(settings: Settings, kafka: KafkaSettings, metrics: "StreamMetrics") -> None:
    from recsvc.streams.consume import consume_until_stopped
    from recsvc.streams.messages import MessageReader

    write_counters = open_write_counters(settings)
    store = make_store(settings, settings.request_timeout_seconds)
    store.check_takes_events()
    writer = GraphWriter(store, ActiveSnapshot(store, settings.home / "snapshots"), write_counters)
    reader = MessageReader(recommendation_ids(settings), settings.outcomes.keep_days)
    await store.open()
    try:
        await consume_until_stopped(kafka, reader, writer, metrics)
    finally:
        await writer.stop()
        await store.close()
        write_counters.close()


def publish(
    topic: Annotated[str, typer.Option(help="The topic that changes go to.")],
    brokers: Annotated[
        str | None, typer.Option(help="Brokers of Kafka, with commas between; else kafka.brokers.")
    ] = None,
    after: Annotated[
        int | None,
        typer.Option(min=0, help="Begin after this position; else where it ended last."),
    ] = None,
) -> None:
    """Send the feed of changes to Kafka, in its order, until SIGTERM or Ctrl-C."""
    settings = load_settings()
    kafka = _with_options(settings.kafka, {"brokers": brokers, "topics": [topic]})
    if not settings.changes.keep_days:
        raise SettingsError("no changes are kept: set keep_days in [changes], for all who write")
    asyncio.run(_publish(settings, kafka, topic, after))


async def _publish(settings: Settings, kafka: KafkaSettings, topic: str, after: int | None) -> None:
    from recsvc.streams.publish import publish_until_stopped

    store = make_store(settings, settings.request_timeout_seconds)
    await store.open()
    try:
        await publish_until_stopped(kafka, store, topic, after)
    finally:
        await store.close()


def _with_options(settings: KafkaSettings, given: dict[str, Any]) -> KafkaSettings:
    """The settings, and what the command line says in their place.

    Raises:
        typer.BadParameter: something there is no broker, topic or group.
    """
    stated = {name: value for name, value in given.items() if value is not None}
    try:
        return KafkaSettings.model_validate(dict(settings) | stated)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise typer.BadParameter(f"{first['loc'][0]}: {first['msg']}") from None
