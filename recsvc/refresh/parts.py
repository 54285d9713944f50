"""What the steps of a refresh take and make."""

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

from loaders.gateway import Gateway
from loaders.types import HeteroGraph
from recsvc.evaluation.metrics import Estimate
from recsvc.event_kinds import speaking_kinds
from recsvc.refresh.lease import Lease
from recsvc.refresh.options import RefreshOptions
from recsvc.refresh.run_journal import RefreshRun
from recsvc.settings import EventSettings

Progress = Callable[[str, int, int], None]
"""Told (what, done, total)."""

_T = TypeVar("_T")


@dataclass(slots=True)
class Run:
    """What every step of one refresh needs."""

    gateway: Gateway
    options: RefreshOptions
    events: Mapping[str, EventSettings]
    progress: Progress
    lease: Lease
    record: RefreshRun

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


@dataclass(frozen=True, slots=True)
class RefreshReport:
    """What a refresh did.

    Attributes:
        run: its name, which is that of its folder.
        versions: number of the new active version, by model.
        weights: λ by signal.
        metrics: NDCG@20 and Recall@20 on the validation users: of every signal alone, and of the
            blend as `hybrid`.
        seconds: time of each step.
        counts: nodes, relationships and vectors.
        cut: share of its kernel's weight that was cut off, by model without vectors, and of
            PageRank.
        sha256: of the arrays the blend is served from.
        change: by how much NDCG@20 is above that of the version that was active; None where there
            was nothing to compare on.
        overridden: what spoke against the new versions, which were activated by force.
        start: what it went on from and why, or why it began from scratch.
        unknown_kinds: kinds of events of the graph that have no weight, and so count nothing.
        compared: on what it was compared with the version that was active, or why not.
    """

    run: str
    versions: Mapping[str, int]
    weights: Mapping[str, float]
    metrics: Mapping[str, Mapping[str, Estimate]]
    seconds: Mapping[str, float]
    counts: Mapping[str, int]
    cut: Mapping[str, float]
    sha256: str
    change: Estimate | None
    overridden: tuple[str, ...]
    start: str
    compared: str
    unknown_kinds: tuple[str, ...] = ()
