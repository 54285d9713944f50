"""Kafka as the settings name it, and what is said where it cannot do what is asked."""

import ssl
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, TypeVar

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import (
    GroupAuthorizationFailedError,
    KafkaConnectionError,
    KafkaError,
    MessageSizeTooLargeError,
    RecordListTooLargeError,
    TopicAuthorizationFailedError,
    UnknownTopicOrPartitionError,
)
from aiokafka.helpers import create_ssl_context
from pydantic import SecretStr

from recsvc.errors import SettingsError, StreamError
from recsvc.settings import KafkaSettings

FETCHED_BYTES: Final = 8 * 1024 * 1024
"""Most that one broker is asked for at a time; a larger message comes alone."""
_PARTITION_BYTES: Final = 1024 * 1024
_LARGEST_BYTES: Final = 1024 * 1024 * 1024
"""Of a message that is sent: what the broker takes is for the broker to say."""
_FOR_EVER_MILLISECONDS: Final = 2**31 - 1
"""A consumer that waits for Neo4j keeps its partitions."""

_Client = TypeVar("_Client", AIOKafkaConsumer, AIOKafkaProducer)


def new_consumer(settings: KafkaSettings) -> AIOKafkaConsumer:
    """A consumer of the topics of the settings, which commits no offsets by itself."""
    return AIOKafkaConsumer(
        *settings.topics,
        **_connection(settings),
        client_id="recsvc",
        group_id=settings.group,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        fetch_max_bytes=FETCHED_BYTES,
        max_partition_fetch_bytes=_PARTITION_BYTES,
        max_poll_interval_ms=_FOR_EVER_MILLISECONDS,
    )


def new_producer(settings: KafkaSettings) -> AIOKafkaProducer:
    """A producer whose messages are on all replicas in sync once they are acknowledged.

    They are compressed, so that one that just fitted into its topic fits into another with what is
    said of it.
    """
    return AIOKafkaProducer(
        **_connection(settings),
        client_id="recsvc",
        enable_idempotence=True,
        compression_type="gzip",
        max_request_size=_LARGEST_BYTES,
    )


@asynccontextmanager
async def started(
    client: _Client, settings: KafkaSettings, topics: Sequence[str]
) -> AsyncGenerator[_Client]:
    """A client of Kafka, connected; it is closed when the block ends.

    Args:
        client: not connected.
        settings: which Kafka.
        topics: that are read and written in the block.

    Raises:
        StreamError: Kafka does not answer, or refuses it.
    """
    try:
        await client.start()
        yield client
    except KafkaError as error:
        raise _stream_error(error, settings, topics) from error
    finally:
        await client.stop()


def _stream_error(error: KafkaError, settings: KafkaSettings, topics: Sequence[str]) -> StreamError:
    """What an error of Kafka's means, and what to do."""
    where, named = ", ".join(settings.brokers), ", ".join(topics)
    cures: tuple[tuple[type[KafkaError] | tuple[type[KafkaError], ...], str], ...] = (
        (
            KafkaConnectionError,
            "does not answer: see that it runs, and that brokers, security_protocol and the log-in "
            "in [kafka] are right; the log says more",
        ),
        (UnknownTopicOrPartitionError, f"has not all of the topics {named}: make them"),
        (
            (TopicAuthorizationFailedError, GroupAuthorizationFailedError),
            f"does not let this user read or write: grant it the group {settings.group} and the "
            f"topics {named}",
        ),
        (
            (MessageSizeTooLargeError, RecordListTooLargeError),
            f"does not take a message that is too large: of the topics {named} raise "
            "max.message.bytes of the last, and start again: nothing is lost",
        ),
    )
    for errors, cure in cures:
        if isinstance(error, errors):
            return StreamError(f"Kafka at {where} {cure}")
    return StreamError(f"Kafka at {where} cannot do that ({error}): see its log, and start again")


def _connection(settings: KafkaSettings) -> dict[str, Any]:
    """Where Kafka is, and how to connect.

    Raises:
        SettingsError: something for it is missing, or cannot be read.
    """
    if not settings.brokers:
        raise SettingsError("no broker of Kafka is named: set brokers in [kafka], or --brokers")
    if settings.security_protocol.startswith("SASL") and settings.username is None:
        raise SettingsError(
            f"security_protocol in [kafka] is {settings.security_protocol}, which logs in, and "
            "username is not set: set it, and password"
        )
    return {
        "bootstrap_servers": list(settings.brokers),
        "security_protocol": settings.security_protocol,
        "sasl_mechanism": settings.sasl_mechanism,
        "sasl_plain_username": settings.username,
        "sasl_plain_password": _revealed(settings.password) or "",
        "ssl_context": _tls(settings) if settings.security_protocol.endswith("SSL") else None,
    }


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        return create_ssl_context(
            cafile=settings.ca_file,
            certfile=settings.certificate_file,
            keyfile=settings.key_file,
            password=_revealed(settings.key_password),
        )
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise SettingsError(
            f"ca_file, certificate_file or key_file in [kafka] cannot be read ({why}): name files "
            "in PEM, and the password of the key in key_password"
        ) from None


def _revealed(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()
