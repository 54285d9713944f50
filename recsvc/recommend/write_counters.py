"""What was written last, known to every process of the service on this machine.

A file of numbers, mapped into the memory of each process:

    [0]   the number of the newest write
    [1]   of the newest one that may change anybody's recommendations
    [2:]  of the newest one about a user; users share a place where their hashes are equal

A writer takes the next number after its transaction is committed and before its caller hears of
that. A reader notes the newest number before it reads the graph. If a write's number is at most
that, it was committed before the reading began, so the reader saw it. Else its place holds a higher
number by the time its caller hears of it, and what was read before is known to be old.
"""

import fcntl
import io
import mmap
import os
import zlib
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from loaders.files import named_file

_USERS: Final = 2**20
_NEWEST, _ANYBODY, _FIRST_USER = 0, 1, 2
_BYTES: Final = 8 * (_FIRST_USER + _USERS)


class WriteCounters:
    """The numbers of the newest writes; one thread of a process uses it.

    Only the processes that map the same file know of each other's writes.

    Args:
        path: the file; it is made where there is none.
    """

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        self._file = path.open("r+b", buffering=0)
        with _closed_on_error(self._file), self._alone(), named_file(path):
            # Written out: a hole in the file could find the disk full when a number is stored.
            # Where there is room for a part, that is written, and the next try is refused.
            while (missing := _BYTES - self._file.seek(0, os.SEEK_END)) > 0:
                self._file.write(bytes(missing))
        self._map = mmap.mmap(self._file.fileno(), _BYTES)
        # Each number is read and stored in one piece: an aligned word of the machine.
        self._numbers = memoryview(self._map).cast("Q")

    def close(self) -> None:
        """Give the file back."""
        self._numbers.release()
        self._map.close()
        self._file.close()

    @property
    def newest(self) -> int:
        """The number of the newest write."""
        return self._numbers[_NEWEST]

    def note_write(self, users: Iterable[str] = (), *, anybody: bool = False) -> None:
        """Say that something was committed, before its caller hears of it.

        Args:
            users: whom it is about.
            anybody: whether it may change the recommendations of somebody else too.
        """
        places = {*map(_place, users), *([_ANYBODY] if anybody else [])}
        with self._alone():  # else an older number could be stored over a newer one
            number = self._numbers[_NEWEST] + 1
            for place in places:
                self._numbers[place] = number
            self._numbers[_NEWEST] = number

    def places(self, users: Iterable[str], *, anything: bool = False) -> tuple[int, ...]:
        """Where the writes stand that change an answer made from the evidence of some users.

        Args:
            users: whose evidence it is.
            anything: whether any write may change it.
        """
        return (_NEWEST if anything else _ANYBODY, *map(_place, users))

    def unchanged(self, places: Sequence[int], number: int) -> bool:
        """Whether no write after the numbered one stands at any of the places."""
        numbers = self._numbers
        return all(numbers[place] <= number for place in places)

    @contextmanager
    def _alone(self) -> Generator[None]:
        """Keep every other process out."""
        fcntl.flock(self._file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._file, fcntl.LOCK_UN)


@contextmanager
def _closed_on_error(file: io.FileIO) -> Generator[None]:
    """Give a file back where the block fails."""
    try:
        yield
    except OSError:
        file.close()
        raise


def _place(user_id: str) -> int:
    return _FIRST_USER + zlib.crc32(user_id.encode("utf-8", "surrogatepass")) % _USERS
