"""What the steps of a refresh take and make."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from loaders.gateway import Gateway
from loaders.types import HeteroGraph
from recsvc.blend.fit import Journal
from recsvc.event_kinds import speaking_kinds
from recsvc.refresh.lease import Lease
from recsvc.refresh.log_comparison import OutcomeLog
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.run_journal import RefreshRun
from recsvc.settings import EventSettings

Progress = Callable[[str, int, int], None]
"""Told (what, done, total)."""

_T = TypeVar("_T")


@dataclass(slots=True)
class Run(Journal):
    """What every step of one refresh needs.

    Attributes:
        log: of what followed answers; None where none is looked at.
    """

    gateway: Gateway
    options: RefreshOptions
    events: Mapping[str, EventSettings]
    progress: Progress
    lease: Lease
    record: RefreshRun
    log: OutcomeLog | None = None

    def kinds(self, graph: HeteroGraph) -> tuple[str, ...]:
        """The kinds of events that speak for an item on meta-paths."""
        return speaking_kinds(graph.interactions.events, self.events)

    def kept(self, name: str, make: Callable[[], _T]) -> _T:
        """See `recsvc.blend.fit.Journal.kept`."""
        return self.record.kept(name, make)

    @contextmanager
    def step(self, name: str) -> Generator[None]:
        """One step: it begins only under the lease; the journal and the progress show it.

        Raises:
            LeaseLostError: another refresh took over.
        """
        self.told(name, 0, 0)
        with self.record.step(name):
            yield
        self.progress(name, 1, 1)

    def told(self, what: str, done: int, total: int) -> None:
        """Report progress, which also ends a long step that goes on without the lease.

        Raises:
            LeaseLostError: another refresh took over.
        """
        self.lease.require()
        self.progress(what, done, total)
