"""The fitted form of the models that keep a sparse row for each item."""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.models.base import TrainingData
from recsvc.signals.rows import RowSignal, truncate_rows

_ITEMS_AT_ONCE = 2048
_USERS_AT_ONCE = 32


@dataclass(frozen=True, slots=True, eq=False)
class RowModel:
    """One sparse row of items for each item a user may have touched.

    Attributes:
        name: the name in `MODELS`.
        rows: K(j, i), float32 [items, items].
    """

    name: str
    rows: sp.csr_matrix

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: Σ_j e_j · K(j, i)."""
        out = np.empty(evidence.shape, np.float32)

        def fill(begin: int) -> None:
            end = begin + _USERS_AT_ONCE
            out[begin:end] = (evidence[begin:end] @ self.rows).toarray()

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(fill, range(0, len(out), _USERS_AT_ONCE)))
        return out

    def signal(self, items: IdMap) -> RowSignal:
        """See `FittedModel.signal`."""
        return RowSignal(self.name, "item", items, self.rows)


def product_blocks(first: sp.csr_matrix, second: sp.csr_matrix) -> Iterator[sp.csr_matrix]:
    """Some rows of a product after another, so that it is never held whole."""
    for begin in range(0, first.shape[0], _ITEMS_AT_ONCE):
        yield first[begin : begin + _ITEMS_AT_ONCE] @ second


def largest_entries(blocks: Iterable[sp.csr_matrix], size: int) -> sp.csr_matrix:
    """The `size` largest entries of each row of the blocks together."""
    blocks_cut = [truncate_rows(block, size)[0] for block in blocks]
    return sp.csr_matrix(sp.vstack(blocks_cut, format="csr", dtype=np.float32))


def product_bytes(data: TrainingData, size: int) -> int:
    """Bytes of a kernel of `size` entries a row, and of the widest block of it before the cut.

    A row has at most one entry per item and per two-step path, whichever is fewer.
    """
    width = np.diff(data.evidence.indptr).astype(np.int64)
    paths = np.minimum(data.evidence.T.astype(bool).astype(np.int64) @ width, len(data.graph.items))
    entries = int(np.minimum(paths, size).sum())
    block = int(np.sort(paths)[-_ITEMS_AT_ONCE:].sum())
    # A float32 and an int32 for each kept entry; the cut sorts a block through int64 arrays.
    return 8 * entries + 48 * block
