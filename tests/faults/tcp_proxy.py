"""A TCP proxy that fails as networks and servers do."""

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine, Generator
from contextlib import contextmanager, suppress
from typing import Any

from tests.ports import free_ports
from tests.waiting import PATIENCE_SECONDS

_CHUNK_BYTES = 65536
_CHUNKS_UNDER_WAY = 256
_TICK_SECONDS = 0.1
_RESET = struct.pack("ii", 1, 0)
"""To linger for 0 s: what closes the socket resets the connection."""


class TcpProxy:
    """Passes what comes to a free loopback port on to a server, or does not.

    It runs in a thread of its own. What it does can be changed at any time:

        passes(0.2)    each chunk comes 0.2 s late, in each direction; chunks do not wait for others
        throttles(200) 200 bytes a second pass, of each connection in each direction
        half_open()    bytes are taken and nothing comes back, on connections new and old. Those
                       never work again, as behind a router that forgot them; new ones may later
        refuses()      nobody can connect; connections there are go on
        cut()          every connection is reset

    Attributes:
        port: where it listens.
    """

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._delay_seconds = 0.0
        self._tick_bytes: int | None = None
        self._half_open = False
        self._links: set[_Link] = set()
        self._listener: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        (self.port,) = free_ports(1)  # which nobody else takes while it refuses
        self._run(self._listen())

    def passes(self, delay_seconds: float = 0.0) -> None:
        """Let connections in and bytes through."""
        self._half_open, self._delay_seconds, self._tick_bytes = False, delay_seconds, None
        self._run(self._listen())

    def throttles(self, bytes_per_second: int) -> None:
        """Let bytes through slowly, on connections new and old."""
        self._tick_bytes = max(1, round(bytes_per_second * _TICK_SECONDS))

    def half_open(self) -> None:
        """Take bytes and answer nothing."""
        self._half_open = True
        self._run(self._lose())

    def refuses(self) -> None:
        """Let nobody connect."""
        self._run(self._close_listener())

    def cut(self) -> None:
        """Reset every connection."""
        self._run(self._cut())

    @property
    def connections(self) -> int:
        """Connections that are open on the near side."""
        return len(self._links)

    def close(self) -> None:
        """End everything."""
        self._run(self._stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _run(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=PATIENCE_SECONDS)

    async def _listen(self) -> None:
        if self._listener is None:
            self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _close_listener(self) -> None:
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    async def _lose(self) -> None:
        for link in self._links:
            link.lost = True

    async def _cut(self) -> None:
        for link in list(self._links):
            link.reset()

    async def _stop(self) -> None:
        await self._close_listener()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(writer)
        self._links.add(link)
        try:
            if self._half_open:
                await _swallow(reader)
            else:
                await self._connect(link, reader)
        except OSError:
            pass
        finally:
            link.close()
            self._links.discard(link)

    async def _connect(self, link: "_Link", near: asyncio.StreamReader) -> None:
        far, link.far = await asyncio.open_connection(*self._target)
        there = asyncio.create_task(self._pump(link, near, link.far))
        back = asyncio.create_task(self._pump(link, far, link.near))
        try:
            await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
            if link.lost:  # the near side hears nothing of how the server goes on
                await there
        finally:
            there.cancel()
            back.cancel()

    async def _pump(
        self, link: "_Link", source: asyncio.StreamReader, sink: asyncio.StreamWriter
    ) -> None:
        """Pass bytes on in their order, each chunk when its time has come."""
        chunks: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_CHUNKS_UNDER_WAY)
        sender = asyncio.create_task(self._send(link, chunks, sink))
        try:
            with suppress(OSError):
                while data := await source.read(_CHUNK_BYTES):
                    await chunks.put((self._loop.time() + self._delay_seconds, data))
                await chunks.join()
        finally:
            sender.cancel()

    async def _send(
        self,
        link: "_Link",
        chunks: "asyncio.Queue[tuple[float, bytes]]",
        sink: asyncio.StreamWriter,
    ) -> None:
        while True:
            due, data = await chunks.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            link.lost |= self._half_open
            while data and not link.lost:
                size = self._tick_bytes or len(data)
                if self._tick_bytes:
                    await asyncio.sleep(_TICK_SECONDS)
                with suppress(OSError):
                    sink.write(data[:size])
                    await sink.drain()
                data = data[size:]
            chunks.task_done()


class _Link:
    """One connection through the proxy; `lost` is one whose bytes go nowhere."""

    def __init__(self, near: asyncio.StreamWriter) -> None:
        self.near = near
        self.far: asyncio.StreamWriter | None = None
        self.lost = False

    def reset(self) -> None:
        """Drop what is under way, and say so to both sides."""
        for side in self._sides():
            side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            side.transport.abort()

    def close(self) -> None:
        for side in self._sides():
            side.close()

    def _sides(self) -> list[asyncio.StreamWriter]:
        return [side for side in (self.near, self.far) if side and not side.is_closing()]


async def _swallow(reader: asyncio.StreamReader) -> None:
    while await reader.read(_CHUNK_BYTES):
        pass


@contextmanager
def tcp_proxy(host: str, port: int) -> Generator[TcpProxy]:
    """A proxy to a server, for as long as the block runs."""
    proxy = TcpProxy(host, port)
    try:
        yield proxy
    finally:
        proxy.close()
