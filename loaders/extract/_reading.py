"""Reading ranges of nodes through several sessions at once."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from loaders.catalogue import Query
from loaders.gateway import Gateway, Row, Transaction
from loaders.types import IdMap

_In = TypeVar("_In")
_Out = TypeVar("_Out")

SESSIONS = 2
_IDS_PER_PAGE = 50_000
_NODES_PER_RANGE = 2_000
_RELATIONSHIPS_PER_RANGE = 50_000
_GAP_READ_ALONG = 20
"""Nodes nobody asked for that are read along, where a range of its own would cost more."""

Progress = Callable[[str, int, int], None]
"""Told (what, done, total)."""


def silent(_what: str, _done: int, _total: int) -> None:
    """A `Progress` that tells nobody."""


@dataclass(frozen=True)
class Nodes:
    """The nodes of one label, in the database's own order, which is not that of code points.

    Attributes:
        order: outer ids.
        internal: what the database calls them inside.
        columns: what else the query returns, by name.
    """

    order: Sequence[str]
    internal: NDArray[np.int64]
    columns: dict[str, NDArray[np.int64]]

    @cached_property
    def ids(self) -> IdMap:
        """The outer ids and their rows."""
        return IdMap.from_unsorted(self.order)

    @cached_property
    def _by_internal(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        ascending = np.argsort(self.internal)
        return self.internal[ascending], self.place[ascending]

    def rows(self, internal: Sequence[int]) -> NDArray[np.int64]:
        """The rows of nodes by their inside names; -1 where one is not among these."""
        internal_names, rows = self._by_internal
        wanted = np.array(internal, np.int64)
        if not len(internal_names):
            return np.full(len(wanted), -1, np.int64)
        place = np.minimum(np.searchsorted(internal_names, wanted), len(internal_names) - 1)
        return np.where(internal_names[place] == wanted, rows[place], -1)

    @cached_property
    def place(self) -> NDArray[np.int64]:
        """The row of each, in the database's order."""
        return self.ids.rows(self.order)

    def column(self, name: str) -> NDArray[np.int64]:
        """Another column of the query, in the database's order."""
        return self.columns.get(name, np.empty(0, np.int64))


NO_NODES = Nodes((), np.empty(0, np.int64), {})


def read_nodes(runner: Gateway | Transaction, query: Query, **parameters: Any) -> Nodes:
    """Read all nodes of one label, page by page."""
    pages: list[Row] = []
    after = ""
    while (page := runner.run(query, after=after, limit=_IDS_PER_PAGE, **parameters)[0])["ids"]:
        pages.append(page)
        after = page["ids"][-1]
    columns = {
        name: np.array(joined(pages, name), np.int64) for name in query.returns if name != "ids"
    }
    return Nodes(joined(pages, "ids"), columns.pop("nodes"), columns)


@dataclass(frozen=True, slots=True)
class Range:
    """Nodes that follow each other in the database's order.

    They are named one by one: where Cypher compares texts without an index, it does so in another
    order than that of the index, and of a first and a last id some between would be lost.

    Attributes:
        ids: of the nodes.
        stop: how many nodes there are up to its end.
    """

    ids: Sequence[str]
    stop: int


def ranges(
    order: Sequence[str],
    degrees: NDArray[np.int64] | None = None,
    wanted: NDArray[np.bool_] | None = None,
) -> list[Range]:
    """Cut an order of ids into ranges of so many nodes and relationships that each fits in memory.

    Args:
        order: all ids, in the database's order.
        degrees: relationships of each.
        wanted: the nodes to read; a few others between them may be read along.
    """
    places = np.arange(len(order)) if wanted is None else np.flatnonzero(wanted)
    if not len(places):
        return []
    before = np.cumsum(degrees) - degrees if degrees is not None else np.zeros(len(order), np.int64)
    cuts, start = list[Range](), int(places[0])
    for place, following in zip(places.tolist(), [*places[1:].tolist(), -1], strict=True):
        if (
            following < 0
            or following - place > _GAP_READ_ALONG
            or following - start >= _NODES_PER_RANGE
            or before[following] - before[start] >= _RELATIONSHIPS_PER_RANGE
        ):
            cuts.append(Range(order[start : place + 1], place + 1))
            start = following
    return cuts


def read_ranges(
    gateway: Gateway,
    query: Query,
    cuts: Sequence[Range],
    keep: Callable[[list[Row]], _Out],
    *,
    what: str = "",
    progress: Progress = silent,
    **parameters: Any,
) -> list[_Out]:
    """Run a query over ranges; `keep` makes of the records of each what is held in memory."""

    def read(cut: Range) -> _Out:
        return keep(gateway.run(query, ids=list(cut.ids), **parameters))

    results: list[_Out] = []
    for cut, part in zip(cuts, side_by_side(read, cuts, SESSIONS), strict=True):
        results.append(part)
        progress(what, cut.stop, cuts[-1].stop)
    return results


def side_by_side(
    work: Callable[[_In], _Out], inputs: Sequence[_In], sessions: int
) -> Iterator[_Out]:
    """`map` with several threads; the answers come in the order of the inputs."""
    if sessions == 1:
        yield from map(work, inputs)
        return
    context = copy_context()  # a span of a thread belongs below the one of who asks

    def below(one: _In) -> _Out:
        return context.copy().run(work, one)

    with ThreadPoolExecutor(sessions) as pool:
        yield from pool.map(below, inputs)


def joined(rows: Sequence[Row], column: str) -> list[Any]:
    """The lists of one column, one after the other."""
    return list(itertools.chain.from_iterable(row[column] for row in rows))
