"""A cluster as a driver meets it: several servers, one of which leads, in front of one Neo4j.

Each server listens on a port of its own and speaks Bolt. What it is asked goes on to the Neo4j
behind, but for what makes a cluster: it answers ROUTE itself, and who does not lead refuses to
write, with the error of a real one. What was asked of whom is noted.
"""

import asyncio
import base64
import threading
from collections import deque
from collections.abc import Coroutine, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal
from urllib.parse import urlsplit

from neo4j._codec.packstream.v1 import PackableBuffer, Packer, UnpackableBuffer, Unpacker

from loaders.catalogue import catalogue, with_one_parameter
from loaders.gateway import Neo4jAddress
from tests.waiting import PATIENCE_SECONDS

MAGIC, VERSION = bytes.fromhex("6060b017"), bytes.fromhex("00000405")
RESET, RUN, BEGIN, COMMIT, ROLLBACK, DISCARD, PULL = 0x0F, 0x10, 0x11, 0x12, 0x13, 0x2F, 0x3F
GOODBYE, ROUTE = 0x02, 0x66
SUCCESS, RECORD, IGNORED, FAILURE = 0x70, 0x71, 0x7E, 0x7F
NOT_A_LEADER = (
    "Neo.ClientError.Cluster.NotALeader",
    "No write operations are allowed directly on this database. Writes must pass through the "
    "leader. The role of this server is: FOLLOWER",
)
READ_ONLY = (
    "Neo.ClientError.General.ForbiddenOnReadOnlyDatabase",
    "No write operations are allowed on this database. The database is in read-only mode",
)
BUSY = ("Neo.TransientError.General.TransactionMemoryLimit", "try again")
Trouble = Literal["none", "switch", "read-only", "busy", "lost before", "lost after"]
"""What comes to the commit of a write: nothing; another server leads; this server became read-only;
it is busy; the connection breaks before it is committed, or after that and before the answer."""
_ERRORS = {"switch": NOT_A_LEADER, "read-only": READ_ONLY, "busy": BUSY}


@dataclass(frozen=True)
class Asked:
    """A query that came to a server.

    Attributes:
        server: its number.
        leads: whether it did so then.
        writes: whether it was sent as one that writes.
        name: of the query; "" where it is none of the catalogue.
        given: the newest commit that its bookmarks name; -1 without any.
        acknowledged: the newest commit that any client had heard of by then.
    """

    server: int
    leads: bool
    writes: bool
    name: str
    given: int
    acknowledged: int

    @property
    def stale(self) -> bool:
        """Whether a server behind the leader might answer from before a commit."""
        return not self.leads and self.given < self.acknowledged


class BoltCluster:
    """The servers 0, 1, 2, in a thread of their own; 0 leads at first.

    Args:
        address: of the Neo4j behind.

    Attributes:
        asked: what came, in order.
        routes: how often somebody asked who reads and who writes.
        troubles: what comes to the next commits, one each.
        lag_seconds: how long after its acknowledgement a commit reaches those who do not lead.
    """

    def __init__(self, address: Neo4jAddress, servers: int = 3) -> None:
        behind = urlsplit(address.uri)
        self.target = str(behind.hostname), behind.port or 7687
        self.asked: list[Asked] = []
        self.routes = 0
        self.troubles: deque[Trouble] = deque()
        self.lag_seconds = 0.0
        self.leader: int | None = 0
        self.acknowledged, self.reached_at = -1, 0.0
        self.loop = asyncio.new_event_loop()
        self._links: dict[int, set[asyncio.Task[Any]]] = {n: set() for n in range(servers)}
        self._listeners: dict[int, asyncio.Server] = {}
        self.ports = [0] * servers
        self._thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self._thread.start()
        for number in range(servers):
            self.starts(number)

    def address_of(self, address: Neo4jAddress) -> Neo4jAddress:
        """Where clients ask first; the last server, which never leads by itself."""
        return replace(address, uri=f"neo4j://127.0.0.1:{self.ports[-1]}", commits=None)

    def starts(self, number: int) -> None:
        """Let a server be there."""
        self._run(self._listen(number))

    def stops(self, number: int) -> None:
        """End a server, with all connections to it."""
        self._run(self._end(number))

    def of(self, *names: str) -> list[Asked]:
        """The queries whose names begin so."""
        return [each for each in self.asked if each.name.startswith(names)]

    def close(self) -> None:
        """End everything."""
        for number in tuple(self._listeners):
            self.stops(number)
        self._run(asyncio.sleep(0.02))  # until all sockets are closed
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def table(self) -> dict[str, Any]:
        """What ROUTE is answered."""
        there = {n: f"127.0.0.1:{self.ports[n]}" for n in self._listeners}
        followers = [at for n, at in there.items() if n != self.leader]
        roles = {
            "WRITE": [at for n, at in there.items() if n == self.leader],
            "READ": followers or [*there.values()],
            "ROUTE": [*there.values()],
        }
        servers = [{"role": role, "addresses": ats} for role, ats in roles.items()]
        return {"rt": {"ttl": 300, "db": "neo4j", "servers": servers}}

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=PATIENCE_SECONDS)

    async def _listen(self, number: int) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.current_task()
            assert task is not None
            self._links[number].add(task)
            try:
                with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
                    await _Link(self, number, reader, writer).serve()
            finally:
                self._links[number].discard(task)
                writer.transport.abort()

        listener = await asyncio.start_server(serve, "127.0.0.1", self.ports[number])
        self._listeners[number] = listener
        self.ports[number] = listener.sockets[0].getsockname()[1]

    async def _end(self, number: int) -> None:
        self._listeners.pop(number).close()
        links = tuple(self._links[number])
        for task in links:
            task.cancel()
        await asyncio.gather(*links, return_exceptions=True)


class _Link:
    """One connection of a client to a server."""

    def __init__(
        self,
        cluster: BoltCluster,
        number: int,
        near: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self._cluster, self._number = cluster, number
        self._near, self._writer = near, writer
        self._waiting: deque[int] = deque()
        self._answered = asyncio.Event()
        self._failed = self._writes = self._open = self._ran = False
        self._given = self._acknowledged = -1

    async def serve(self) -> None:
        """Pass messages on until one side ends."""
        assert (await self._near.readexactly(20)).startswith(MAGIC)
        far, sink = await asyncio.open_connection(*self._cluster.target)
        back = asyncio.create_task(self._pass_back(far))
        try:
            sink.write(MAGIC + VERSION + bytes(12))
            while True:
                await self._take(await _read(self._near), sink)
        finally:
            back.cancel()
            sink.transport.abort()

    async def _take(self, message: bytes, sink: asyncio.StreamWriter) -> None:
        """Pass a message on, or answer it here as a cluster does."""
        kind = message[1]
        if self._failed and kind != RESET:
            if kind != GOODBYE:
                await self._say(IGNORED, {})
            return
        if kind == RESET:
            self._failed = self._open = False
        if (error := await self._refused(kind, message)) is not None:
            self._failed = True
            await self._say(FAILURE, {"code": error[0], "message": error[1]})
            return
        if kind != GOODBYE:
            self._waiting.append(kind)
            self._answered.clear()
        _write(sink, message)
        await sink.drain()

    async def _refused(self, kind: int, message: bytes) -> tuple[str, str] | None:
        """The error of this server where it does not do what it is asked."""
        cluster = self._cluster
        if kind in (BEGIN, RUN):
            *asked, extra = _fields(message)
            if not (kind == RUN and self._open):
                self._writes = extra.get("mode") != "r"
                self._given = max(map(_number, extra.get("bookmarks", ())), default=-1)
                self._acknowledged = cluster.acknowledged
                self._open, self._ran = kind == BEGIN, False
                await self._wait_for(self._given)
            if kind == RUN:
                self._ran = True
                cluster.asked.append(self._asked(asked[0]))
            if self._writes and self._number != cluster.leader:
                return NOT_A_LEADER
        if kind == COMMIT and self._writes and self._ran:
            return self._trouble()
        return None

    def _asked(self, text: str) -> Asked:
        number, writes, given = self._number, self._writes, self._given
        leads = number == self._cluster.leader
        return Asked(number, leads, writes, _name(text), given, self._acknowledged)

    def _trouble(self) -> tuple[str, str] | None:
        cluster = self._cluster
        if self._number != cluster.leader:
            return NOT_A_LEADER
        if not cluster.troubles or cluster.troubles[0] == "lost after":
            return None
        trouble = cluster.troubles.popleft()
        if trouble == "none":
            return None
        if trouble == "lost before":
            self._writer.transport.abort()
            raise ConnectionResetError
        if trouble == "switch":
            cluster.leader = (self._number + 1) % (len(cluster.ports) - 1)
        return _ERRORS[trouble]

    async def _wait_for(self, number: int) -> None:
        """Wait as a server does that has not heard yet of a commit."""
        cluster = self._cluster
        if self._number != cluster.leader and number >= cluster.acknowledged:
            await asyncio.sleep(max(0.0, cluster.reached_at - cluster.loop.time()))

    async def _say(self, kind: int, content: Mapping[str, Any]) -> None:
        """Answer here, after all that is answered by the Neo4j behind."""
        while self._waiting:
            await self._answered.wait()
            self._answered.clear()
        _write(self._writer, _message(kind, content))
        await self._writer.drain()

    async def _pass_back(self, far: asyncio.StreamReader) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            assert await far.readexactly(4) == VERSION
            self._writer.write(VERSION)
            while True:
                message = await _read(far)
                if message[1] != RECORD:
                    message = self._answer(self._waiting.popleft(), message)
                    self._answered.set()
                _write(self._writer, message)
                await self._writer.drain()
        self._writer.close()

    def _answer(self, kind: int, message: bytes) -> bytes:
        if message[1] != SUCCESS:
            return message
        if kind == ROUTE:
            self._cluster.routes += 1
            return _message(SUCCESS, self._cluster.table())
        if kind in (COMMIT, ROLLBACK):
            self._open = False
        if kind in (COMMIT, PULL, DISCARD) and self._writes and not self._open:
            self._acknowledge(kind, _fields(message)[0].get("bookmark"))
        return message

    def _acknowledge(self, kind: int, bookmark: str | None) -> None:
        cluster = self._cluster
        lost = kind == COMMIT and self._ran and [*cluster.troubles][:1] == ["lost after"]
        if lost:
            cluster.troubles.popleft()
            self._writer.transport.abort()
            raise ConnectionResetError
        if bookmark is not None and (number := _number(bookmark)) > cluster.acknowledged:
            cluster.acknowledged = number
            cluster.reached_at = cluster.loop.time() + cluster.lag_seconds


@cache
def _names() -> Mapping[str, str]:
    queries = catalogue().values()
    return {
        text: query.name
        for query in queries
        for text in (query.text, with_one_parameter(query.text))
    }


def _name(text: str) -> str:
    return _names().get(text.removeprefix("EXPLAIN "), "")


def _number(bookmark: str) -> int:
    """Of which commit a bookmark is: after the 16 bytes that name the database."""
    return _split(bookmark)[1]


def never_made(bookmark: str) -> str:
    """A bookmark of the same database that names a commit far in the future."""
    start, number, end = _split(bookmark)
    buffer = PackableBuffer()
    Packer(buffer).pack(number + 1_000_000)
    return "FB:" + base64.b64encode(start + bytes(buffer.data) + end).decode()


def _split(bookmark: str) -> tuple[bytes, int, bytes]:
    raw = base64.b64decode(bookmark.partition(":")[2])
    place = raw.index(b"\xcc\x10") + 18
    buffer = UnpackableBuffer(raw[place:])
    number = Unpacker(buffer).unpack()
    return raw[:place], number, raw[place + buffer.p :]


def _fields(message: bytes) -> list[Any]:
    unpacker = Unpacker(UnpackableBuffer(message[2:]))
    return [unpacker.unpack() for _ in range(message[0] & 0x0F)]


def _message(kind: int, content: Mapping[str, Any]) -> bytes:
    buffer = PackableBuffer()
    Packer(buffer).pack_struct(bytes([kind]), [] if kind == IGNORED else [dict(content)])
    return bytes(buffer.data)


async def _read(reader: asyncio.StreamReader) -> bytes:
    """One message, of as many chunks as it has."""
    message = b""
    while True:
        size = int.from_bytes(await reader.readexactly(2))
        if size:
            message += await reader.readexactly(size)
        elif message:
            return message


def _write(writer: asyncio.StreamWriter, message: bytes) -> None:
    for start in range(0, len(message), 0xFFFF):
        chunk = message[start : start + 0xFFFF]
        writer.write(len(chunk).to_bytes(2) + chunk)
    writer.write(b"\0\0")


@contextmanager
def bolt_cluster(address: Neo4jAddress) -> Generator[BoltCluster]:
    """Servers in front of a Neo4j, for as long as the block runs."""
    cluster = BoltCluster(address)
    try:
        yield cluster
    finally:
        cluster.close()
