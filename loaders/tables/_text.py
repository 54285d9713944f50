"""Text files as blocks of whole lines, decompressed, in bounded memory."""

import bz2
import gzip
import lzma
import re
import zipfile
import zlib
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Protocol, cast

import pyarrow as pa

from loaders.errors import TableError
from loaders.limits import MAX_LINE_BYTES

COMPRESSIONS = (".gz", ".bz2", ".xz", ".zst", ".zip")
"""Suffixes of the compressions that are read."""
BLOCK_BYTES = 2 * 1024 * 1024
_SAMPLE_BYTES = 1024 * 1024
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_LINE_END = re.compile(rb"\r\n?|\n")
_UNREADABLE = (
    OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
    NotImplementedError,  # a zip's compression
    RuntimeError,  # a zip's password
)  # fmt: skip


class _Stream(Protocol):
    """What is read from: a file, or what decompresses one."""

    def read(self, size: int, /) -> bytes: ...


class TextBlocks:
    """The lines of a text file, some MiB at a time.

    A block ends where a line ends, so that no line, and no character, is cut. Of a line longer
    than `MAX_LINE_BYTES` only as much is kept as shows that it is longer.
    """

    def __init__(self, path: Path, stream: _Stream) -> None:
        self._path = path
        self._stream = stream
        self._rest = self._read(len(_BYTE_ORDER_MARK)).removeprefix(_BYTE_ORDER_MARK)

    def __iter__(self) -> Iterator[bytes]:
        """All blocks.

        Raises:
            TableError: the file cannot be read.
        """
        while block := self.take():
            yield block

    def take(self) -> bytes:
        """The next whole lines; nothing at the end.

        Raises:
            TableError: the file cannot be read.
        """
        data = self._rest
        while more := self._read(BLOCK_BYTES):
            data += more
            if end := data.rfind(b"\n") + 1 or data.rfind(b"\r") + 1:
                self._rest = data[end:]
                return data[:end]
            if len(data) > MAX_LINE_BYTES:
                self._skip_line()
                return data[: MAX_LINE_BYTES + 1] + b"\n"
        self._rest = b""
        return data

    def _skip_line(self) -> None:
        while more := self._read(BLOCK_BYTES):
            if end := _LINE_END.search(more):
                self._rest = more[end.end() :]
                return
        self._rest = b""

    def _read(self, size: int) -> bytes:
        """Some bytes, which do not end within a CRLF."""
        try:
            data = self._stream.read(size)
            while data.endswith(b"\r") and (more := self._stream.read(1)):
                data += more
        except _UNREADABLE as error:
            raise TableError(f"{self._path} cannot be read: {error}") from error
        return data


@contextmanager
def open_blocks(path: Path) -> Generator[TextBlocks]:
    """The blocks of a text file, which may be compressed.

    Raises:
        TableError: the file cannot be read.
    """
    with _opened(path) as file:
        try:
            stream = _decompressed(file, path.suffix.lower())
        except _UNREADABLE as error:
            raise TableError(f"{path} cannot be read: {error}") from error
        yield TextBlocks(path, stream)


def estimated_lines(path: Path) -> int:
    """About how many lines a text file has, from its first MiB.

    Raises:
        TableError: the file cannot be read.
    """
    with _opened(path) as file:
        try:
            stream = _decompressed(file, path.suffix.lower())
            sample = stream.read(_SAMPLE_BYTES)
            whole = not stream.read(1)
            if path.suffix.lower() == ".zip":
                archive = zipfile.ZipFile(file)
                size, consumed = archive.getinfo(_only_member(archive)).file_size, len(sample)
            else:
                size, consumed = path.stat().st_size, file.tell()
        except _UNREADABLE as error:
            raise TableError(f"{path} cannot be read: {error}") from error
    lines = sample.count(b"\n")
    return lines if whole else round(lines * size / consumed)


def _opened(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except OSError as error:
        raise TableError(f"{path} cannot be read: {error}") from error


def _decompressed(file: BinaryIO, suffix: str) -> _Stream:
    if suffix == ".zst":
        return cast(_Stream, pa.CompressedInputStream(file, "zstd"))
    if suffix == ".gz":
        return gzip.open(file)
    if suffix == ".bz2":
        return bz2.open(file)
    if suffix == ".xz":
        return lzma.open(file)
    if suffix == ".zip":
        archive = zipfile.ZipFile(file)
        return archive.open(_only_member(archive))
    return file


def zipped_name(path: Path) -> str | None:
    """The name of the one file in a zip; None where there is another number, or it is no zip."""
    try:
        with zipfile.ZipFile(path) as archive:
            return Path(_only_member(archive)).name
    except _UNREADABLE:
        return None


def _only_member(archive: zipfile.ZipFile) -> str:
    # macOS adds a folder of its own to each zip.
    names = [n for n in archive.namelist() if not n.endswith("/") and not n.startswith("__MACOSX/")]
    if len(names) != 1:
        raise zipfile.BadZipFile(f"it holds {len(names)} files: expected one, the table")
    return names[0]
