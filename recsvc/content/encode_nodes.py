"""The vectors of the nodes of one label: those that are kept, and new ones for all else."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import psutil
from jaxtyping import Float32
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.content.encoders import Encoder
from recsvc.content.kept_vectors import KeptVectors, digest_of, read_kept, write_kept
from recsvc.errors import TrainingError
from recsvc.evaluation.splits import id_numbers

Told = Callable[[str, int, int], None]
"""Told (what, done, total)."""

_AT_ONCE: Final = 256
"""Texts that an encoder is given at a time."""
_SAVED_SECONDS: Final = 60.0
"""After how long what was made is saved, for a run that is interrupted to go on from."""
_COPIES: Final = 3
"""Of all vectors, at the peak: those that were kept, new ones, and the array."""


class Said(NamedTuple):
    """What a node says of itself.

    Attributes:
        id: of the node.
        content: what tells it from another; "" where it says nothing.
        given: what the encoder takes.
    """

    id: str
    content: str
    given: str | Path


@dataclass(frozen=True, slots=True)
class Nodes:
    """Some nodes, and where their vectors are kept.

    Attributes:
        name: of all of them, for people.
        ids: of the nodes.
        file: with the vectors.
        told: is told what is done.
    """

    name: str
    ids: IdMap
    file: Path
    told: Told


def encoded(
    nodes: Nodes, contents: Iterable[Said], encoder: Encoder
) -> Float32[NDArray[np.float32], "nodes dim"]:
    """What the encoder gives for each node; 0 for one that says nothing.

    What was encoded before is taken from the file, and what is new is encoded once, however many
    nodes say it. Then the file has the vectors of these nodes and no other.

    Raises:
        TrainingError: the encoder does not work, or the vectors do not fit into memory.
        OSError: the file cannot be written.
    """
    work = _Work(nodes, encoder)
    work.take(contents)
    return work.finished()


class _Work:
    """Vectors while they are made."""

    def __init__(self, nodes: Nodes, encoder: Encoder) -> None:
        self._nodes, self._encoder = nodes, encoder
        on_file = read_kept(nodes.file)
        same = on_file.encoder == encoder.identity
        self._before = on_file if same else on_file.taken(np.zeros(len(on_file.node), np.bool_))
        digests = map(bytes, self._before.digest)
        self._known = dict(zip(digests, self._before.vector, strict=True))
        self._wanted: dict[int, bytes] = {}
        self._missing: dict[bytes, str | Path] = {}

    def take(self, contents: Iterable[Said]) -> None:
        """Note what each node says; a row of a table that says it again counts."""
        for said in contents:
            row = self._nodes.ids.row(said.id)
            self._wanted.pop(row, None)
            if row >= 0 and said.content:
                digest = self._wanted[row] = digest_of(said.content)
                if digest not in self._known:
                    self._missing[digest] = said.given

    def finished(self) -> Float32[NDArray[np.float32], "nodes dim"]:
        """Encode what is missing, and put all vectors in their rows."""
        self._encode()
        if not self._wanted:
            return np.zeros((len(self._nodes.ids), 1), np.float32)
        entries = self._entries()
        if self._missing or not np.array_equal(entries.node, self._before.node):
            write_kept(self._nodes.file, entries)
        vectors = np.zeros((len(self._nodes.ids), entries.vector.shape[1]), np.float32)
        vectors[np.fromiter(self._wanted, np.int64, len(self._wanted))] = entries.vector
        return vectors

    def _encode(self) -> None:
        digests, saved = list(self._missing), time.monotonic()
        what = f"encode {self._nodes.name}"
        for begin in range(0, len(digests), _AT_ONCE):
            some = digests[begin : begin + _AT_ONCE]
            made = self._encoder.encode([self._missing[digest] for digest in some])
            self._check(made, first=not begin)
            self._known.update(zip(some, made, strict=True))
            self._nodes.told(what, begin + len(some), len(digests))
            if time.monotonic() - saved > _SAVED_SECONDS:
                write_kept(self._nodes.file, self._entries())
                saved = time.monotonic()

    def _entries(self) -> KeptVectors:
        """What is known so far, in the order of `wanted`."""
        made = [(row, digest) for row, digest in self._wanted.items() if digest in self._known]
        ids = self._nodes.ids
        return KeptVectors(
            self._encoder.identity,
            id_numbers([ids[row] for row, _ in made]),
            np.array([np.void(digest) for _, digest in made]),
            np.stack([self._known[digest] for _, digest in made]),
        )

    def _check(self, made: Float32[NDArray[np.float32], "n dim"], *, first: bool) -> None:
        """Refuse vectors of different lengths, and more than fit into memory.

        Raises:
            TrainingError: so it is.
        """
        length = made.shape[1]
        other = next((len(vector) for vector in self._known.values()), length)
        if other != length:
            raise TrainingError(
                f"the encoder {self._encoder.name} gave {length} numbers for one text and {other} "
                "for another: expected the same for all"
            )
        number = len(self._nodes.ids)
        needed, free = _COPIES * 4 * number * length, psutil.virtual_memory().available
        if first and needed > free:
            raise TrainingError(
                f"vectors of {number:,} {self._nodes.name} with {length:,} numbers each would take "
                f"about {needed / 2**30:,.2f} GiB, where {free / 2**30:,.2f} GiB are free: take an "
                "encoder with shorter vectors, or a machine with more memory"
            )
