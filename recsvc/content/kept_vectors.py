"""Vectors of texts and images that are kept, so that each is made once.

    RECSVC_HOME/content/graph/Item.npz    of what is in the graph, by label
    RECSVC_HOME/content/tables/Item.npz   of the tables that were read last

A file has an entry for each node: a number for its id, a digest of its text, and the vector. It
holds no text and no id, and it is of one encoder. When the nodes have been encoded, those that are
no longer there have no entry, so a file is never larger than what it is of. A node that is deleted
is taken out.
"""

import contextlib
from collections.abc import Callable, Collection
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

import numpy as np
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from loaders.files import file_lock, whole_file
from recsvc.evaluation.splits import id_numbers

FOLDER: Final = "content"
"""Below `RECSVC_HOME`."""
_BYTES = 16


def digest_of(content: str) -> bytes:
    """A digest of what is encoded."""
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=_BYTES).digest()


@dataclass(frozen=True, slots=True, eq=False)
class KeptVectors:
    """The entries of a file.

    Attributes:
        encoder: what made the vectors.
        node: a number for the id of each node, see `recsvc.evaluation.splits.id_numbers`.
        digest: of what was encoded; 16 bytes each.
        vector: one for each.
    """

    encoder: str
    node: Int64[NDArray[np.int64], " entries"]
    digest: NDArray[np.void]
    vector: Float32[NDArray[np.float32], "entries dim"]

    def taken(self, mask: NDArray[np.bool_]) -> "KeptVectors":
        """Some of the entries."""
        return KeptVectors(self.encoder, self.node[mask], self.digest[mask], self.vector[mask])


_NONE: Final = KeptVectors(
    "", np.zeros(0, np.int64), np.zeros(0, f"V{_BYTES}"), np.zeros((0, 1), np.float32)
)


def read_kept(file: Path) -> KeptVectors:
    """The entries of a file; none where there is none, or it is damaged."""
    with contextlib.suppress(Exception):  # damaged bytes make parsers raise nearly anything
        with file.open("rb") as opened, np.load(opened, allow_pickle=False) as arrays:
            named = ("node", "digest", "vector")
            vectors = KeptVectors(str(arrays["encoder"]), *(arrays[name] for name in named))
        if (
            len(vectors.node) == len(vectors.digest) == len(vectors.vector)
            and vectors.vector.ndim == 2
        ):
            return vectors
    return _NONE


def write_kept(file: Path, vectors: KeptVectors) -> None:
    """Write a file; what was there before goes.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with _locked(file), whole_file(file) as part, part.open("wb") as opened:
        named = {"node": vectors.node, "digest": vectors.digest, "vector": vectors.vector}
        np.savez(opened, allow_pickle=False, encoder=np.array(vectors.encoder), **named)


def forget_content(home: Path, kind: str, node_id: str) -> None:
    """Take a node out of all files of its label.

    Raises:
        OSError: a file cannot be written.
    """
    for file in (home / FOLDER).glob(f"*/{kind.capitalize()}*.npz"):
        _keep(file, lambda kept: kept.node != id_numbers([node_id])[0])


def keep_only(home: Path, kind: str, ids: Collection[str]) -> None:
    """Take all nodes of a kind out of what is kept of the graph but those that are there.

    Raises:
        OSError: a file cannot be written.
    """
    files = list((home / FOLDER / "graph").glob(f"{kind.capitalize()}*.npz"))
    if files:
        there = id_numbers(ids)
        for file in files:
            _keep(file, lambda kept: np.isin(kept.node, there))


def _keep(file: Path, which: Callable[[KeptVectors], NDArray[np.bool_]]) -> None:
    vectors = read_kept(file)
    mask = which(vectors)
    if not mask.all():
        write_kept(file, vectors.taken(mask))


def _locked(file: Path) -> contextlib.AbstractContextManager[bool]:
    return file_lock(file.parent / "lock")
