"""Items that were read in one state of the graph, for as long as the graph is in it."""

from collections.abc import Collection, Mapping

from recsvc.graph.rows import UNKNOWN, LiveItem, State

_MOST = 100_000
"""Items that are kept; with more, all are read anew."""


class KnownItems:
    """What some items are in the newest state that items were read in."""

    def __init__(self) -> None:
        self._state = UNKNOWN
        self._items: dict[str, LiveItem | None] = {}

    def of(self, state: State) -> Mapping[str, LiveItem | None]:
        """The items that are known in a state; None for one that does not exist."""
        return self._items if state and state == self._state else {}

    def keep(self, state: State, item_ids: Collection[str], live: Mapping[str, LiveItem]) -> None:
        """Take in what some items are.

        Args:
            state: that they were read in, from beginning to end.
            item_ids: those that were read.
            live: those of them that exist.
        """
        if state != self._state or len(self._items) + len(item_ids) > _MOST:
            self._state, self._items = state, {}
        self._items |= {item_id: live.get(item_id) for item_id in item_ids}
