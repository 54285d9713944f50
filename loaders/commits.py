"""The newest commits that this machine knows of a cluster of Neo4j.

In a cluster the leader commits, and the other servers, which answer reads, have each commit some
time later. A bookmark names a commit: a server that is given one with a read waits until it has
that commit (Neo4j's causal consistency). Who commits notes the bookmark here before anybody hears
of the commit, and every read takes along what is noted. So a read sees all that was answered for
before it began, in every process that shares the file.
"""

from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Final

from neo4j.api import BookmarkManager

from loaders.files import file_lock

_MOST: Final = 1_000
"""Bookmarks that are kept: those of writers at the same moment, whom a later commit follows."""


class NewestCommits(BookmarkManager):
    """Bookmarks of the newest commits; the driver's sessions read and note them by themselves.

    Args:
        path: of the file that processes share; None, and where it cannot be written: this process
            alone knows of its commits.
        graph: names the graph they are of. What a file says of another one does not count.
    """

    def __init__(self, path: Path | None = None, graph: str = "") -> None:
        self._path = path
        self._graph = graph
        self._own: tuple[str, ...] = ()
        self._one_at_a_time = Lock()

    def get_bookmarks(self) -> set[str]:
        """The bookmarks that together name every commit that is known."""
        return {*self._own, *self._shared()}

    def update_bookmarks(
        self, previous_bookmarks: Collection[str], new_bookmarks: Collection[str]
    ) -> None:
        """Note commits that came after others.

        Args:
            previous_bookmarks: what was known when the transaction began, which it saw.
            new_bookmarks: name the state at its end.
        """
        if not new_bookmarks or self.get_bookmarks() == {*new_bookmarks}:
            return
        with self._one_at_a_time:
            if self._path is not None:
                with suppress(OSError):
                    self._share(self._path, previous_bookmarks, new_bookmarks)
                    self._own = ()
                    return
            self._own = _after(self._own, previous_bookmarks, new_bookmarks)

    def _share(self, path: Path, previous: Collection[str], new: Collection[str]) -> None:
        """Have others read the file as it was or as it is then; a power cut may take it away."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(path.with_name(f"{path.name}.lock")):
            bookmarks = _after((*self._own, *self._shared()), previous, new)
            part = path.with_name(f"{path.name}.part")
            part.write_text("\n".join([self._graph, *bookmarks]), "utf-8")
            part.replace(path)

    def _shared(self) -> tuple[str, ...]:
        if self._path is not None:
            with suppress(OSError, UnicodeDecodeError):
                graph, *bookmarks = self._path.read_text("utf-8").split("\n")
                if graph == self._graph:
                    return tuple(bookmarks)
        return ()


def _after(
    known: Collection[str], previous: Collection[str], new: Collection[str]
) -> tuple[str, ...]:
    left = [each for each in known if each not in previous and each not in new]
    return (*left, *new)[-_MOST:]
