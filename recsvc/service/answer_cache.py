"""Answers that are served again for as long as nothing they were made from has changed."""

import time
from collections import OrderedDict
from dataclasses import dataclass

import orjson

from recsvc.answer import Answer, Source, VariantUsed, writable
from recsvc.outcomes.recommendation_id import contents_of
from recsvc.recommend.write_counters import WriteCounters

Asked = tuple[str, bytes]
"""Path and query of a request."""

_ENTRY_BYTES = 600
"""What an entry takes besides its texts and places, in CPython."""
_PLACE_BYTES = 40
_ITEMS_AT_ONCE = 25


@dataclass(frozen=True, slots=True)
class Served:
    """The JSON of an answer around what is each request's own: its ids and its time.

    Attributes:
        contents: what the ids of this list have in common, see `RecommendationIds.contents`.
        variant: of an experiment; None outside of any.
    """

    middle: bytes
    end: bytes
    contents: bytes
    variant: VariantUsed | None = None

    @classmethod
    def of(cls, answer: Answer) -> "Served":
        """The JSON of an answer."""
        document = writable(answer)
        items = document.pop("items")
        names = list(document)
        cut = names.index("took_ms")
        middle, end = (
            orjson.dumps({name: document[name] for name in part})[1:-1]
            for part in (names[2:cut], names[cut + 1 :])
        )
        # Part by part: to write megabytes at once would hold up all threads.
        parts = b",".join(
            orjson.dumps(items[at : at + _ITEMS_AT_ONCE])[1:-1]
            for at in range(0, len(items), _ITEMS_AT_ONCE)
        )
        rest = b"," + end if end else b""
        return cls(
            b"," + middle + b',"took_ms":', rest + b',"items":[' + parts + b"]}",
            contents_of(document["recommendation_id"]), answer.variant,
        )  # fmt: skip

    def body(self, request_id: str, recommendation_id: str, took_ms: float) -> bytes:
        """The answer to one request."""
        return b"".join(
            (
                b'{"request_id":', orjson.dumps(request_id), b',"recommendation_id":"',
                recommendation_id.encode(), b'"', self.middle, orjson.dumps(took_ms), self.end,
            )
        )  # fmt: skip


def first_body(served: Served, answer: Answer) -> bytes:
    """The answer to the request that it was made for."""
    return served.body(answer.request_id, answer.recommendation_id or "", answer.took_ms)


def answer_json(answer: Answer) -> bytes:
    """An answer as one JSON document."""
    return first_body(Served.of(answer), answer)


@dataclass(frozen=True, slots=True)
class _Entry:
    served: Served
    number: int
    places: tuple[int, ...]
    expires: float
    size: int


class AnswerCache:
    """Answers of one process, the least recently used of them out first.

    Args:
        write_counters: what was written last.
        seconds: how long an answer is served. Until then a write that does not go through the
            service, and the ageing of evidence, may not be seen.
        max_bytes: of all answers together.
    """

    def __init__(self, write_counters: WriteCounters, *, seconds: float, max_bytes: int) -> None:
        self._write_counters = write_counters
        self._seconds = seconds
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Asked, _Entry] = OrderedDict()
        self._snapshot: object = None
        self.size = 0

    def __len__(self) -> int:
        return len(self._entries)

    def begin(self) -> int:
        """The number of the newest write; called before anything is read for an answer."""
        return self._write_counters.newest

    def find(self, key: Asked, snapshot: object) -> Served | None:
        """An answer as it would be made now.

        Args:
            key: what was asked.
            snapshot: what is served; answers from another one are dropped.
        """
        self._drop_others(snapshot)
        entry = self._entries.get(key)
        if entry is None:
            return None
        old = entry.expires < time.monotonic()
        if old or not self._write_counters.unchanged(entry.places, entry.number):
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return entry.served

    def keep(
        self,
        key: Asked,
        snapshot: object,
        served: Served,
        source: Source | None,
        number: int,
        began: float,
    ) -> None:
        """Serve an answer again, where it is known whose evidence it was made from.

        Args:
            key: what was asked.
            snapshot: what was served before its reading began, and still is.
            served: the answer.
            source: whose evidence it was made from.
            number: see `begin`.
            began: `time.monotonic()` when its reading began.
        """
        self._drop_others(snapshot)
        self._drop(key)
        if source is None:
            return
        places = self._write_counters.places(source.users, anything=source.anybody)
        texts = (*key, served.middle, served.end, served.contents)
        size = _ENTRY_BYTES + sum(map(len, texts)) + _PLACE_BYTES * len(places)
        if size > self._max_bytes:
            return
        now, expires = time.monotonic(), began + self._seconds
        if source.until is not None:
            expires = min(expires, now + source.until - time.time())
        self._entries[key] = _Entry(served, number, places, expires, size)
        self.size += size
        while self._entries and (self.size > self._max_bytes or self._oldest.expires < now):
            self._drop(next(iter(self._entries)))

    @property
    def _oldest(self) -> _Entry:
        return next(iter(self._entries.values()))

    def _drop(self, key: Asked) -> None:
        if entry := self._entries.pop(key, None):
            self.size -= entry.size

    def _drop_others(self, snapshot: object) -> None:
        if snapshot is not self._snapshot:
            self._entries.clear()
            self._snapshot, self.size = snapshot, 0
