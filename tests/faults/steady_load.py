"""Requests that keep coming, and what became of each."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

_USERS = ("u1", "u8", "u45", "u130", "fan")
_KNOWN = {"evidence": [{"item_id": "i61"}, {"item_id": "i64"}]}
_UNKNOWN = {"evidence": [{"item_id": "never heard of"}]}
_MOST_AT_ONCE = 100
"""More than that only pile up where everything stood still for a while."""


@dataclass(frozen=True)
class Wanted:
    """One request; equal ones have equal answers as long as nothing is missing."""

    path: str
    explain: str | None = None
    known: bool | None = None

    @property
    def of_user(self) -> bool:
        return self.path.startswith("/v1/users/")

    def request(self, client: httpx.AsyncClient) -> httpx.Request:
        if self.known is None:
            params = {"explain": self.explain} if self.explain else {}
            return client.build_request("GET", self.path, params=params)
        body = {**(_KNOWN if self.known else _UNKNOWN), "explain": self.explain}
        return client.build_request("POST", self.path, json=body)


WANTED = (
    *(
        Wanted(f"/v1/users/{user}/recommendations", explain)
        for user in _USERS
        for explain in ("none", "summary", "full")
    ),
    Wanted("/v1/users/u8/recommendations/i3/explanation"),
    Wanted("/v1/items/i3/similar"),
    Wanted("/v1/recommendations", "full", known=True),
    Wanted("/v1/recommendations", "summary", known=False),
)


@dataclass(frozen=True)
class Answered:
    """A request, when it was sent (`time.monotonic`), how long it took, and the answer.

    The status is 0 where none came.
    """

    wanted: Wanted
    sent: float
    seconds: float
    status: int
    body: dict[str, Any]

    @property
    def degraded(self) -> tuple[str, ...]:
        return tuple(self.body.get("degraded", ()))

    @property
    def item_ids(self) -> list[str]:
        items = self.body.get("items", [self.body])
        return [item.get("item_id") or item["id"] for item in items]


async def answer(client: httpx.AsyncClient, wanted: Wanted) -> Answered:
    sent = time.monotonic()
    try:
        response = await client.send(wanted.request(client))
    except httpx.TransportError as error:
        return Answered(wanted, sent, time.monotonic() - sent, 0, {"error": repr(error)})
    seconds = time.monotonic() - sent
    return Answered(wanted, sent, seconds, response.status_code, response.json())


@dataclass
class SteadyLoad:
    """Requests at an even pace, sent whether those before have an answer or not.

    A context manager: the block runs under the load; `answers` is whole after it.
    """

    client: httpx.AsyncClient
    per_second: float = 15.0
    wanted: Sequence[Wanted] = WANTED
    answers: list[Answered] = field(default_factory=list)
    _tasks: set[asyncio.Task[None]] = field(default_factory=set)
    _room: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(_MOST_AT_ONCE))

    async def __aenter__(self) -> "SteadyLoad":
        self._sender = asyncio.create_task(self._send(itertools.cycle(self.wanted)))
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._sender.cancel()
        await asyncio.gather(*self._tasks)

    async def _send(self, wanted: Iterator[Wanted]) -> None:
        start = time.monotonic()
        for number, each in enumerate(wanted):
            await asyncio.sleep(start + number / self.per_second - time.monotonic())
            await self._room.acquire()
            task = asyncio.create_task(self._one(each))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            task.add_done_callback(lambda _: self._room.release())

    async def _one(self, wanted: Wanted) -> None:
        self.answers.append(await answer(self.client, wanted))


async def callers(client: httpx.AsyncClient, count: int, seconds: float) -> list[Answered]:
    """Callers who each send their next request when they have an answer."""
    answers: list[Answered] = []
    end = time.monotonic() + seconds

    async def caller(first: int) -> None:
        for wanted in itertools.cycle(WANTED[first:] + WANTED[:first]):
            if time.monotonic() > end:
                return
            answers.append(await answer(client, wanted))

    await asyncio.gather(*(caller(number % len(WANTED)) for number in range(count)))
    return answers
