"""Messages that cannot be stored, kept in a topic of their own with the reason."""

import asyncio
from collections.abc import Sequence
from typing import Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from recsvc.streams.messages import Record, Refused

_PAUSE_SECONDS: Final = 1.0
_HEADERS: Final = "recsvc."
"""What the names of our headers begin with."""


class DeadLetters:
    """The topic of messages that cannot be stored.

    Args:
        producer: sends them.
        topic: its name.
    """

    def __init__(self, producer: AIOKafkaProducer, topic: str) -> None:
        self._producer = producer
        self._topic = topic

    async def check(self) -> None:
        """Make sure that the topic is there; a broker that may do so makes it.

        Raises:
            KafkaError: it is not.
        """
        await self._producer.partitions_for(self._topic)

    async def send(self, letters: Sequence[Refused]) -> None:
        """Keep messages as they came, key and headers too; they are there when this returns.

        Raises:
            KafkaError: the topic does not take one, however often it is sent.
        """
        while letters:
            errors = await asyncio.gather(*map(self._send, letters))
            for error in errors:
                if error is not None and not error.retriable:
                    raise error
            failed = zip(letters, errors, strict=True)
            letters = [letter for letter, error in failed if error is not None]
            if letters:
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _send(self, letter: Refused) -> KafkaError | None:
        record = letter.record
        headers = [*record.headers, *_said(record, letter.reason)]
        try:
            await self._producer.send_and_wait(
                self._topic, value=record.value or b"", key=record.key, headers=headers
            )
        except KafkaError as error:
            return error
        return None


def _said(record: Record, reason: str) -> list[tuple[str, bytes]]:
    """Where a message came from, and why it is here, as headers."""
    told = {
        "reason": reason,
        "topic": record.topic,
        "partition": str(record.partition),
        "offset": str(record.offset),
        "timestamp": str(record.timestamp),
    }
    return [
        (f"{_HEADERS}{name}", text.encode(errors="backslashreplace")) for name, text in told.items()
    ]
