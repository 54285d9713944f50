"""What one shard needs of a snapshot on disk: the vectors and the prior of its items."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsvc.blend.item_range import ItemRange, signal_part
from recsvc.blend.shards import item_ranges
from recsvc.signals import STORED, Signal
from recsvc.snapshot.arrays import MANIFEST, array_name, damage_named, load_array, read_manifest


def load_items(folder: Path, shard: int, shards: int) -> ItemRange:
    """Map the arrays of the items of one shard into memory.

    Of other items no array is read; the manifest, which names all items, is read and let go.

    Args:
        folder: with the files of a snapshot.
        shard: number of the shard, from 1.
        shards: how many there are.

    Raises:
        SnapshotError: a file is missing, damaged, or of another format.
    """
    with damage_named(folder):
        return _items(folder, shard, shards)


def _items(folder: Path, shard: int, shards: int) -> ItemRange:
    manifest = read_manifest((folder / MANIFEST).read_bytes(), str(folder))
    items = len(manifest["items"])
    begin, end = item_ranges(items, shards)[shard - 1]
    parts: list[tuple[Signal, float]] = []
    for entry in manifest["signals"]:
        name, of = entry["name"], STORED[entry["form"]]
        part = signal_part(of, name, partial(_array, folder, name), entry, begin, end)
        if part is not None:
            parts.append((part, entry["weight"]))
    return ItemRange(begin, _array(folder, "prior", "")[begin:end], parts, items)


def _array(folder: Path, signal: str, array: str) -> NDArray[Any]:
    return np.asarray(load_array(folder / f"{array_name(signal, array)}.npy")).view(np.ndarray)
