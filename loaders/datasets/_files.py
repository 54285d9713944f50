"""The files of a data set: in a folder, below it, or in the archives it holds."""

import gzip
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import IO, cast

from loaders.errors import TableError

_TAR_SUFFIXES = (".tar", ".tar.xz", ".tar.gz", ".tgz", ".tar.bz2")
_UNREADABLE = (
    OSError,
    EOFError,
    RuntimeError,  # a member of a zip file that is encrypted
    lzma.LZMAError,
    zlib.error,
    tarfile.TarError,
    zipfile.BadZipFile,
)
_SHOWN_NAMES = 20

_Open = Callable[[ExitStack], IO[bytes]]


class SourceFiles:
    """Files by name, whichever folder or archive they are in; nothing is unpacked.

    A file beside an archive counts before one of the same name inside it, and `NAME.gz` counts
    as `NAME`.

    Args:
        folder: the folder with the files, or with their archives (`.zip`, `.tar.xz`, `.tar.gz`).

    Raises:
        TableError: it is not a folder, or an archive in it is damaged.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise TableError(
                f"{folder} is not a folder: expected one with the data set's files or archives"
            )
        self.folder = folder
        self._places: dict[str, list[tuple[str, _Open]]] = {}
        archives: list[Path] = []
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            if path.name.endswith((".zip", *_TAR_SUFFIXES)):
                archives.append(path)
            else:
                self._add(path.name.removesuffix(".gz"), str(path), _open_plain(path))
        beside = set(self._places)
        for archive in archives:
            for member, opened in _members(archive):
                name = PurePosixPath(member).name.removesuffix(".gz")
                if name not in beside:
                    self._add(name, f"{archive}: {member}", opened)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def matching(self, *patterns: str) -> Sequence[str]:
        """Names that match one of the patterns (`*.json`), sorted."""
        return sorted(n for n in self._places if any(fnmatch(n, pattern) for pattern in patterns))

    def first(self, *names: str) -> str | None:
        """The first of these names that is there."""
        return next((name for name in names if name in self._places), None)

    def describe(self) -> str:
        """What is there, for an error."""
        names = ", ".join(sorted(self._places)[:_SHOWN_NAMES]) or "nothing"
        return f"{self.folder} holds {names}"

    @contextmanager
    def open(self, name: str) -> Generator[IO[bytes]]:
        """The contents of a file, as a stream.

        Raises:
            TableError: it is not there, it is there more than once, or it is damaged.
        """
        places = self._places.get(name, [])
        if not places:
            raise TableError(f"no {name} among the files: {self.describe()}")
        if len(places) > 1:
            all_of_them = " and ".join(where for where, _ in places)
            raise TableError(
                f"{name} is there more than once ({all_of_them}): give a folder with one"
            )
        where, opened = places[0]
        try:
            with ExitStack() as stack:
                yield opened(stack)
        except _UNREADABLE as error:
            raise TableError(f"{where} cannot be read: {error}: fetch it again") from error

    def read(self, name: str) -> bytes:
        """The contents of a small file.

        Raises:
            TableError: as for `open`.
        """
        with self.open(name) as stream:
            return stream.read()

    def _add(self, name: str, where: str, opened: _Open) -> None:
        # Packers on macOS leave files such as ._u.data.
        if not name.startswith("."):
            self._places.setdefault(name, []).append((where, opened))


def _open_plain(path: Path) -> _Open:
    def opened(stack: ExitStack) -> IO[bytes]:
        if path.name.endswith(".gz"):
            return cast(IO[bytes], stack.enter_context(gzip.open(path)))
        return stack.enter_context(path.open("rb"))

    return opened


def _members(archive: Path) -> Iterator[tuple[str, _Open]]:
    list_members = _zip_members if archive.name.endswith(".zip") else _tar_members
    try:
        yield from list_members(archive)
    except _UNREADABLE as error:
        raise TableError(f"{archive} is not a sound archive: {error}: fetch it again") from error


def _zip_members(archive: Path) -> Iterator[tuple[str, _Open]]:
    def opener(member: zipfile.ZipInfo) -> _Open:
        def opened(stack: ExitStack) -> IO[bytes]:
            stream = stack.enter_context(zipfile.ZipFile(archive)).open(member)
            return _unzipped(stack, member.filename, stack.enter_context(stream))

        return opened

    with zipfile.ZipFile(archive) as file:
        for member in file.infolist():
            if not member.is_dir():
                yield member.filename, opener(member)


def _tar_members(archive: Path) -> Iterator[tuple[str, _Open]]:
    def opener(member: tarfile.TarInfo) -> _Open:
        def opened(stack: ExitStack) -> IO[bytes]:
            tar = tarfile.open(archive)  # noqa: SIM115 (the stack closes it)
            stack.enter_context(tar)
            stream = tar.extractfile(member)
            if stream is None:
                raise OSError(f"{member.name} is not a file")
            return _unzipped(stack, member.name, stack.enter_context(stream))

        return opened

    with tarfile.open(archive) as file:
        for member in file:
            # Links are left out: they could point anywhere.
            if member.isreg():
                yield member.name, opener(member)


def _unzipped(stack: ExitStack, member: str, stream: IO[bytes]) -> IO[bytes]:
    if not member.endswith(".gz"):
        return stream
    return cast(IO[bytes], stack.enter_context(gzip.open(stream)))
