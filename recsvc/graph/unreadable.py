"""What stands in the graph in a form that cannot be read: it is left out, counted and named.

Somebody who edits the graph by hand may set a weight to true, a title to a list or `available` to
a word. All other users are answered as ever. Things are named by the database's own id
(`MATCH (n) WHERE elementId(n) = '…'`): no log holds the id of a user.
"""

from collections.abc import Callable, Iterable, Sequence

import structlog

_MOST_NAMED = 10_000
"""Things of which is remembered that they were named: the log names each once."""

_log = structlog.get_logger()


class UnreadNotes:
    """Takes note of what cannot be read.

    Attributes:
        heard: told of each, whenever it is met: what kind of thing it is.
    """

    def __init__(self) -> None:
        self.heard: Callable[[str], None] = lambda _kind: None
        self._named: set[str] = set()

    def note(self, things: Iterable[Sequence[str]]) -> None:
        """Count things, and name those that have not been named.

        Args:
            things: of each, its kind and the database's own id.
        """
        for kind, inside in things:
            self.heard(kind)
            if f"{kind} {inside}" not in self._named and len(self._named) < _MOST_NAMED:
                self._named.add(f"{kind} {inside}")
                _log.warning(
                    "something in the graph cannot be read and is left out",
                    kind=kind,
                    element_id=inside,
                )
