"""Arrays in parts, as Neo4j stores them: each small enough for a transaction of its own.

An entry is a file: an array as `.npy`, or a text. Part 0 of an array is the header of its file, and
each further one holds whole rows. Arrays with the same number of rows are cut at the same rows, so
that the columns and values of a sparse matrix can be read side by side.

Many parts make one content, and its SHA-256 is that of the list of them. A reader of parts of
two contents finds another one.
"""

import hashlib
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loaders.catalogue import catalogue
from loaders.gateway import Gateway, Row

PART_BYTES = 4 * 1024 * 1024
_WIDEST_VALUE = 8


@dataclass(frozen=True, slots=True, order=True)
class PartName:
    """Which part it is, and what is in it.

    Attributes:
        entry: the file it belongs to.
        number: its place there, from 0.
        sha256: of its content.
    """

    entry: str
    number: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Part:
    """A part of an entry."""

    entry: str
    number: int
    content: bytes

    @property
    def name(self) -> PartName:
        """What the lists of parts hold of it."""
        return PartName(self.entry, self.number, hashlib.sha256(self.content).hexdigest())


def digest_of(names: Iterable[PartName]) -> str:
    """SHA-256 of a content, in whatever order its parts come."""
    digest = hashlib.sha256()
    for part in sorted(names):
        digest.update(f"{part.entry}\0{part.number}\0{part.sha256}\n".encode())
    return digest.hexdigest()


def rows_per_part(dtype: np.dtype[Any], row_shape: tuple[int, ...]) -> int:
    """How many rows of an array are in one part; the same for all whose values are single."""
    values = int(np.prod(row_shape, dtype=np.int64))
    return max(1, PART_BYTES // max(_WIDEST_VALUE, values * dtype.itemsize))


def array_parts(entry: str, array: NDArray[Any]) -> Iterator[Part]:
    """The parts of an array."""
    whole = np.ascontiguousarray(array)
    yield header_part(entry, whole.dtype, whole.shape)
    step = rows_per_part(whole.dtype, whole.shape[1:])
    for number, start in enumerate(range(0, len(whole), step), start=1):
        yield Part(entry, number, whole[start : start + step].tobytes())


def header_part(entry: str, dtype: np.dtype[Any], shape: tuple[int, ...]) -> Part:
    """The first part of an array."""
    header = io.BytesIO()
    descr = np.lib.format.dtype_to_descr(dtype)
    np.lib.format.write_array_header_1_0(
        header, {"descr": descr, "fortran_order": False, "shape": shape}
    )
    return Part(entry, 0, header.getvalue())


def text_parts(entry: str, text: bytes) -> Iterator[Part]:
    """The parts of a text."""
    for number, start in enumerate(range(0, len(text), PART_BYTES)):
        yield Part(entry, number, text[start : start + PART_BYTES])


def in_portions(parts: Iterable[Part]) -> Iterator[list[Part]]:
    """As many parts at a time as together are no larger than one may be; at least one."""
    portion, size = list[Part](), 0
    for part in parts:
        if portion and size + len(part.content) > PART_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(part)
        size += len(part.content)
    if portion:
        yield portion


def stored_names(gateway: Gateway, version: int) -> list[PartName]:
    """The parts that a version of the blend has at this moment, in order; none where it has none.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    rows = gateway.run(catalogue()["serve/snapshot_parts"], version=version)
    return [name for name, _ in named_parts(rows)]


def named_parts(rows: Iterable[Row]) -> list[tuple[PartName, Part | None]]:
    """The parts of `serve/snapshot_parts` in order; those that came along, which are headers."""
    named: list[tuple[PartName, Part | None]] = []
    for row in sorted(rows, key=lambda row: (row["entry"], row["number"])):
        name, header = PartName(row["entry"], row["number"], row["sha256"]), row["header"]
        named.append((name, Part(name.entry, name.number, header) if header else None))
    return named


def stored_part(gateway: Gateway, version: int, name: PartName) -> Part | None:
    """A part of a version; None where it has that one no more.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    rows = gateway.run(
        catalogue()["serve/snapshot_part"], version=version, entry=name.entry,
        number=name.number, sha256=name.sha256,
    )  # fmt: skip
    return Part(name.entry, name.number, rows[0]["content"]) if rows else None


def stored_parts(gateway: Gateway, version: int) -> Iterator[Part]:
    """The parts of a version, one after the other; it ends early where the version was rewritten.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    rows = gateway.run(catalogue()["serve/snapshot_parts"], version=version)
    for name, header in named_parts(rows):
        part = header or stored_part(gateway, version, name)
        if part is None:
            return
        yield part
