"""One refresh at a time: taking the lease, and giving signs of life while the work goes on."""

import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from loaders.errors import LeaseLostError, Neo4jError
from loaders.gateway import Gateway
from loaders.lease import FencedGateway, Taking, take_lease
from recsvc.errors import RefreshError

LEASE_SECONDS = 60.0
"""How long a lease lasts without a sign of life; three are given in that time."""

_BEATS = 3
_LAST_WORDS_SECONDS = 5.0

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Lease:
    """The lease, while it is held.

    Attributes:
        gateway: writes only while nobody else has the lease.
        seconds: how long it lasts without a sign of life.
        taken_from: who had it and did not give it back; None where nobody did.
        forced: whether it was taken by force.
        lost: set as soon as it is known that another has it.
    """

    gateway: FencedGateway
    seconds: float
    taken_from: str | None
    forced: bool
    lost: threading.Event = field(default_factory=threading.Event)

    def require(self) -> None:
        """Go on only if nobody else is known to have the lease.

        Raises:
            LeaseLostError: somebody has.
        """
        if self.lost.is_set():
            raise LeaseLostError(
                f"{self.gateway.holder} lost the lease of refreshes ({self.gateway.fence}): "
                "another took over, so this one ends"
            )

    def keep(self, stop: threading.Event) -> None:
        """Give signs of life until `stop`, or until another has the lease."""
        while not stop.wait(self.seconds / _BEATS):
            # A Neo4j that is away for a moment hears the next one.
            with suppress(Neo4jError):
                if not self.gateway.renew(self.seconds):
                    self.lost.set()
                    return


@contextmanager
def held_lease(
    gateway: Gateway, *, seconds: float, force: bool, progress: Progress
) -> Generator[Lease]:
    """Hold the lease for the length of the block.

    A holder that gives signs of life keeps it. One that gives none loses it when it has run out by
    Neo4j's clock, or when its last sign has stood still for as long by the clock of this process,
    which nobody sets: a server whose clock was set back keeps nobody out for longer.

    Args:
        gateway: the graph.
        seconds: how long the lease lasts without a sign of life.
        force: take it at once from its holder.
        progress: told the seconds that are waited.

    Raises:
        RefreshError: another refresh is at work.
        Neo4jError: the graph cannot be written.
    """
    holder = f"{socket.gethostname()} {os.getpid()} {secrets.token_hex(4)}"
    taking = _take(gateway, holder, seconds, force=force, progress=progress)
    fenced = FencedGateway(gateway, holder, taking.fence)
    lease = Lease(fenced, seconds, taking.holder, force and taking.holder is not None)
    stop = threading.Event()
    beats = threading.Thread(target=lease.keep, args=(stop,), name="lease", daemon=True)
    beats.start()
    try:
        yield lease
    finally:
        stop.set()
        beats.join(_LAST_WORDS_SECONDS)
        with suppress(Neo4jError):  # it ends by itself
            fenced.release()


def _take(
    gateway: Gateway, holder: str, seconds: float, *, force: bool, progress: Progress
) -> Taking:
    first = taking = take_lease(gateway, holder, seconds, force=force)
    began, pause = time.monotonic(), min(1.0, seconds / 10)
    while not taking.taken:
        if (taking.fence, taking.heartbeat) != (first.fence, first.heartbeat):
            raise RefreshError(
                f"another refresh is running ({first.holder}, since {first.acquired_at}): wait for "
                "it, or use --force to take over"
            )
        time.sleep(pause)
        waited = time.monotonic() - began
        progress("waiting for a refresh without a sign of life", round(waited), round(seconds))
        silent = (first.heartbeat or "") if waited >= seconds else ""
        taking = take_lease(gateway, holder, seconds, silent_since=silent)
    return taking
