"""Stored arrays without some nodes, made entry by entry from a few parts at a time.

What comes out is what `Snapshot.without` gives, part for part, and no entry is touched that holds
nothing of the nodes: of a user, who is in no array of items, that is nearly all. In memory are the
ids, one number for each row of a matrix, and a handful of parts.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import orjson
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from loaders.parts import Part, array_parts, header_part, rows_per_part, text_parts
from loaders.types import IdMap
from recsvc.evidence import EvidenceKind
from recsvc.signals import STORED
from recsvc.snapshot.arrays import MANIFEST, array_name, read_header

Contents = Callable[[str], Iterator[bytes]]
"""Gives what the parts of an entry hold, in their order."""
Kept = Mapping[EvidenceKind, Bool[NDArray[np.bool_], " nodes"]]
"""Of the nodes of each kind, which stay."""

_ROWS: Mapping[str, EvidenceKind] = {
    "available": "item", "item_people": "item", "prior": "item", "user_counts": "user",
}  # fmt: skip
_IDS: Mapping[str, EvidenceKind] = {
    "items": "item", "titles": "item", "categories": "category", "users": "user",
}  # fmt: skip


def ids_in(manifest: Mapping[str, Any]) -> dict[EvidenceKind, IdMap]:
    """The ids of a snapshot's rows, from its manifest."""
    return {kind: IdMap(manifest[name]) for name, kind in _IDS.items() if name != "titles"}


def rewritten(manifest: Mapping[str, Any], kept: Kept, contents: Contents) -> Iterator[Part]:
    """The parts of every entry that holds something of the nodes that do not stay.

    Args:
        manifest: of the snapshot.
        kept: which nodes stay, by kind.
        contents: reads its arrays.

    Yields:
        All parts of each such entry; which ones these are is told by their names.
    """
    changed = {kind for kind, mask in kept.items() if not mask.all()}
    if not changed:
        return
    for name, kind in _rows_of(manifest).items():
        if kind in changed:
            yield from _without_rows(f"{name}.npy", kept[kind], contents)
    for name, (kind, columns) in _matrices_of(manifest).items():
        if changed & {kind, columns}:
            yield from _without_cells(name, kept[kind], kept[columns], contents)
    left = {
        name: [node_id for node_id, stays in zip(manifest[name], kept[kind], strict=True) if stays]
        for name, kind in _IDS.items()
    }
    yield from text_parts(MANIFEST, orjson.dumps({**manifest, **left}))


def _rows_of(manifest: Mapping[str, Any]) -> dict[str, EvidenceKind]:
    """The arrays with a row for each node of a kind."""
    arrays = _signal_arrays(manifest)
    return {**_ROWS, **{name: rows for name, rows, columns in arrays if columns is None}}


def _matrices_of(manifest: Mapping[str, Any]) -> dict[str, tuple[EvidenceKind, EvidenceKind]]:
    """The sparse matrices, each with the kinds of its rows and its columns."""
    kinds_of: dict[str, tuple[EvidenceKind, EvidenceKind]] = {"in_category": ("item", "category")}
    for name, rows, columns in _signal_arrays(manifest):
        if columns is not None:
            kinds_of[name] = (rows, columns)
    return kinds_of


def _signal_arrays(
    manifest: Mapping[str, Any],
) -> Iterator[tuple[str, EvidenceKind, EvidenceKind | None]]:
    """The arrays of the signals, each with the kinds of its rows and, if sparse, its columns."""
    for signal in manifest["signals"]:
        kinds: dict[str, EvidenceKind] = {"evidence": signal["kind"], "items": "item"}
        for name, held in STORED[signal["form"]].layout.items():
            columns = None if held.columns is None else kinds[held.columns]
            yield array_name(signal["name"], name), kinds[held.rows], columns


@dataclass(slots=True)
class _Writer:
    """Cuts rows that come into parts.

    Attributes:
        entry: what is written.
        dtype: of its values.
        row_shape: of one row.
        rows: how many came.
    """

    entry: str
    dtype: np.dtype[Any]
    row_shape: tuple[int, ...] = ()
    rows: int = 0
    _number: int = 1
    _waiting: list[NDArray[Any]] = field(default_factory=list[NDArray[Any]])

    def add(self, block: NDArray[Any]) -> Iterator[Part]:
        """Take some rows; give the parts that are full."""
        self._waiting.append(block)
        self.rows += len(block)
        step = rows_per_part(self.dtype, self.row_shape)
        while sum(map(len, self._waiting)) >= step:
            whole = np.concatenate(self._waiting)
            self._waiting = [whole[step:]]
            yield self._part(whole[:step])

    def end(self) -> Iterator[Part]:
        """Give what is left, and the header."""
        whole = np.concatenate(self._waiting) if self._waiting else np.empty(0)
        if len(whole):
            yield self._part(whole)
        yield header_part(self.entry, self.dtype, (self.rows, *self.row_shape))

    def _part(self, rows: NDArray[Any]) -> Part:
        self._number += 1
        return Part(self.entry, self._number - 1, rows.tobytes())


def _blocks(entry: str, contents: Contents) -> tuple[_Writer, Iterator[NDArray[Any]]]:
    """What writes an array of the same type, and the array in blocks of rows."""
    parts = contents(entry)
    dtype, shape = read_header(next(parts))
    blocks = (np.frombuffer(part, dtype).reshape(-1, *shape[1:]) for part in parts)
    return _Writer(entry, dtype, shape[1:]), blocks


def _without_rows(entry: str, mask: NDArray[np.bool_], contents: Contents) -> Iterator[Part]:
    writer, blocks = _blocks(entry, contents)
    start = 0
    for block in blocks:
        yield from writer.add(block[mask[start : start + len(block)]])
        start += len(block)
    yield from writer.end()


def _without_cells(
    name: str, rows: NDArray[np.bool_], columns: NDArray[np.bool_], contents: Contents
) -> Iterator[Part]:
    """A sparse matrix without some rows and columns."""
    _, starts = _blocks(f"{name}.indptr.npy", contents)
    indptr = np.concatenate(list(starts))
    place = np.where(columns, np.cumsum(columns) - 1, -1)
    values, value_blocks = _blocks(f"{name}.data.npy", contents)
    cells, cell_blocks = _blocks(f"{name}.indices.npy", contents)
    counts = np.zeros(len(rows), np.int64)
    start = 0
    for value, column in zip(value_blocks, cell_blocks, strict=True):
        first, row = _rows_at(indptr, start, start + len(column))
        start += len(column)
        new = place[column].astype(cells.dtype)
        stays = (new >= 0) & rows[row]
        count = np.bincount(row[stays] - first)
        counts[first : first + len(count)] += count
        yield from values.add(value[stays])
        yield from cells.add(new[stays])
    yield from values.end()
    yield from cells.end()
    ends = np.cumsum(counts[rows])
    yield from array_parts(f"{name}.indptr.npy", np.concatenate([[0], ends]).astype(np.int64))


def _rows_at(
    indptr: Int64[NDArray[np.int64], " bounds"], start: int, stop: int
) -> tuple[int, Int64[NDArray[np.int64], " cells"]]:
    """The row of each stored cell from `start` to before `stop`, and the first of these rows."""
    first = int(np.searchsorted(indptr, start, side="right")) - 1
    end = int(np.searchsorted(indptr, stop, side="left"))
    counts = np.diff(np.clip(indptr[first : end + 1], start, stop))
    return first, first + np.repeat(np.arange(len(counts)), counts)
