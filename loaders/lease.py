"""A lease in the graph, and a gateway through which only its holder writes.

A lease (Gray & Cheriton 1989, "Leases: an efficient fault-tolerant mechanism for distributed file
cache consistency") keeps a second refresh out while the first gives signs of life. It cannot keep
out a holder that was paused, was taken for dead, and goes on. The fencing number does: it rises
each time the lease is taken, and every write transaction first locks the lease and compares the
number. So the order of two transactions decides, and no clock does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from loaders.catalogue import Query, catalogue
from loaders.errors import LeaseLostError
from loaders.gateway import Gateway, Plan, Row, Transaction
from loaders.graph_map import GraphMap

_LONGEST_SECONDS = 60.0
"""Of one write. A holder that is paused in the middle keeps all other writers waiting so long."""


@dataclass(frozen=True, slots=True)
class Taking:
    """What came of trying to take the lease.

    Attributes:
        taken: whether it was given.
        fence: its number now.
        holder: who had it before; None where nobody did.
        heartbeat: the last sign of life of that holder, as text to compare.
        acquired_at: since when that holder had it, in words.
    """

    taken: bool
    fence: int
    holder: str | None
    heartbeat: str | None
    acquired_at: str


def take_lease(
    gateway: Gateway, holder: str, seconds: float, *, silent_since: str = "", force: bool = False
) -> Taking:
    """Take the lease if it is free or has run out by the server's clock.

    Args:
        gateway: the graph.
        holder: a name that nobody else has or had.
        seconds: how long it lasts without a sign of life.
        silent_since: take it too if this is still the holder's last sign of life.
        force: take it from its holder.

    Raises:
        Neo4jError: the graph cannot be written.
    """
    row = gateway.run(
        catalogue()["lease/take"],
        holder=holder,
        milliseconds=round(1000 * seconds),
        silent_since=silent_since,
        force=force,
    )[0]
    return Taking(
        row["taken"], row["fence"], row["holder"], row["heartbeat"], str(row["acquired_at"])
    )


@dataclass(frozen=True, slots=True)
class FencedGateway:
    """A `Gateway` that writes only while a holder has the lease.

    The creation of an index cannot be in one transaction with the look at the lease. It is looked
    at before; what may come too late is an empty index that the next holder makes too.

    Attributes:
        gateway: what it reads and writes through.
        holder: who has the lease.
        fence: with this number.
    """

    gateway: Gateway
    holder: str
    fence: int

    @property
    def graph(self) -> GraphMap | None:
        """See `Gateway.graph`."""
        return self.gateway.graph

    def run(self, query: Query, **parameters: Any) -> list[Row]:
        """See `Gateway.run`.

        Raises:
            LeaseLostError: another has the lease; nothing was written.
            Neo4jError: the server is away, too slow, or refuses the statement.
        """
        if query.mode == "write":
            return self.write(lambda transaction: transaction.run(query, **parameters))
        if query.mode != "read":
            self.write(lambda _transaction: None)
        return self.gateway.run(query, **parameters)

    def plan(self, query: Query) -> Plan:
        """See `Gateway.plan`."""
        return self.gateway.plan(query)

    def read(
        self, work: Callable[[Transaction], Any], *, timeout_seconds: float | None = None
    ) -> Any:
        """See `Gateway.read`."""
        return self.gateway.read(work, timeout_seconds=timeout_seconds)

    def write(
        self,
        work: Callable[[Transaction], Any],
        *,
        timeout_seconds: float | None = _LONGEST_SECONDS,
    ) -> Any:
        """See `Gateway.write`.

        Raises:
            LeaseLostError: another has the lease; nothing was written.
        """

        def fenced(transaction: Transaction) -> Any:
            rows = transaction.run(catalogue()["lease/hold"], holder=self.holder, fence=self.fence)
            if not rows[0]["held"]:
                raise LeaseLostError(
                    f"{self.holder} lost the lease of refreshes ({self.fence}) to another that "
                    "took over: nothing more is written"
                )
            return work(transaction)

        return self.gateway.write(fenced, timeout_seconds=timeout_seconds)

    def run_rolled_back(
        self,
        work: Callable[[Transaction], Any],
        *,
        timeout_seconds: float | None = _LONGEST_SECONDS,
    ) -> Any:
        """See `Gateway.run_rolled_back`."""
        return self.gateway.run_rolled_back(work, timeout_seconds=timeout_seconds)

    def renew(self, seconds: float) -> bool:
        """Give a sign of life; False where another has the lease.

        Raises:
            Neo4jError: the graph cannot be written.
        """
        return self.gateway.run(
            catalogue()["lease/renew"],
            holder=self.holder,
            fence=self.fence,
            milliseconds=round(1000 * seconds),
        )[0]["renewed"]

    def release(self) -> bool:
        """Give the lease back; False where another has it.

        Raises:
            Neo4jError: the graph cannot be written.
        """
        query = catalogue()["lease/release"]
        return self.gateway.run(query, holder=self.holder, fence=self.fence)[0]["released"]
