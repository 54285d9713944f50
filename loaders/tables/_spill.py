"""Frames that are too many for memory, on disk in partitions."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import numpy as np
import polars as pl
import pyarrow as pa

from loaders._closing import Closing
from loaders.errors import TableError

PARTITIONS = 128


class Spill(Closing):
    """Rows on disk, those with the same key in the same partition.

    Each frame that is added becomes one Arrow file with one record batch per partition, so that a
    partition is read back without the others. A context manager: the files lie in a temporary
    folder, which is made with the first of them and removed on leaving.

    Args:
        key: the column whose equal values stay together.
        folder: where the temporary folder is made; where the system has its own by default.

    Attributes:
        rows: how many rows were added.
    """

    def __init__(self, key: str, folder: Path | None = None) -> None:
        self.rows = 0
        self._key = key
        self._parent = folder
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._files: list[Path] = []

    def add(self, frame: pl.DataFrame) -> None:
        """Write rows down.

        Raises:
            TableError: they cannot be written.
        """
        if frame.is_empty():
            return
        partition = frame[self._key].hash() % PARTITIONS
        rows = frame[partition.arg_sort()].to_arrow(compat_level=pl.CompatLevel.oldest())
        batch = cast(list[pa.RecordBatch], rows.combine_chunks().to_batches())[0]
        ends = np.bincount(partition.to_numpy(), minlength=PARTITIONS).cumsum().tolist()
        try:
            path = self._new_file()
            options = pa.ipc.IpcWriteOptions(compression="lz4")
            with pa.ipc.new_file(str(path), batch.schema, options=options) as file:
                for start, end in zip([0, *ends], ends, strict=False):
                    file.write_batch(batch.slice(start, end - start))
        except OSError as error:
            raise TableError(
                f"rows that do not fit in memory cannot be written: {error}: make room there, or "
                "name another folder in TMPDIR"
            ) from error
        self._files.append(path)
        self.rows += frame.height

    def partitions(self) -> Iterator[pl.DataFrame]:
        """The rows of each partition, where there are any; those of a frame keep their order.

        Raises:
            TableError: they cannot be read back.
        """
        for number in range(PARTITIONS):
            parts = [part for path in self._files if (part := _read(path, number)).height]
            if parts:
                yield pl.concat(parts, how="diagonal_relaxed")

    def close(self) -> None:
        """Remove what was written."""
        if self._folder is not None:
            self._folder.cleanup()
        self._folder, self._files, self.rows = None, [], 0

    def _new_file(self) -> Path:
        if self._folder is None:
            self._folder = tempfile.TemporaryDirectory(prefix="recsvc-", dir=self._parent)
        return Path(self._folder.name) / f"{len(self._files)}.arrow"


def _read(path: Path, partition: int) -> pl.DataFrame:
    try:
        with pa.OSFile(str(path)) as source, pa.ipc.open_file(source) as file:
            batch = file.get_batch(partition)
            return cast(pl.DataFrame, pl.from_arrow(pa.Table.from_batches([batch])))
    except (OSError, pa.ArrowException) as error:
        raise TableError(f"rows written to {path} cannot be read back: {error}") from error
