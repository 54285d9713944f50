"""Similarity of embeddings as a kernel: K(j, i) = <source_j, target_i>."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EvidenceKind, EvidenceRows
from recsvc.signals.base import Alone, Moments, Signal, StoredArray, fresh_order

_ONE_DIRECTION = 0.999
"""Length of the mean of unit vectors above which they all say the same."""
_NO_LENGTH = 1e-6
_VALUES_OF_ONE_THREAD = 8192
"""OpenBLAS gives a product of a matrix and a vector to several threads from 9,216 values on."""
ITEMS_IN_A_BLOCK = 128
"""Products with vectors are made in blocks of so many items, or of a half, a quarter, … of that:
those of a range that begins with a whole block have the same bits as among all items."""
_ITEMS_AT_ONCE = 65_536


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingSignal(Signal):
    """Inner products between what stands for the evidence and what stands for the item.

    LightGCN's user vector is linear in the user's items once each item stores a source vector
    (He et al. 2020, eq. 3–4 unrolled); Node2Vec takes skip-gram's input vectors as sources and its
    output vectors as targets.

    Attributes:
        name: the model's name.
        ids: items that can be evidence; one row of `source` each.
        source: what an item says as evidence.
        target: what an item is when it is ranked; as stored, of the same items.
        kind: the kind of evidence: items.
        gram: targetᵀ target: with it <x, y> over all items takes no pass over them.
        lengths: length of each target.
        longest: that of the longest.
    """

    name: str
    ids: IdMap
    source: Float32[NDArray[np.float32], "evidence dim"]
    target: Float32[NDArray[np.float32], "items dim"]
    kind: EvidenceKind = "item"
    gram: Float64[NDArray[np.float64], "dim dim"] = field(init=False)
    lengths: Float32[NDArray[np.float32], " items"] = field(init=False)
    longest: float = field(init=False)

    form: ClassVar[str] = "embedding"
    layout: ClassVar[Mapping[str, StoredArray]] = {
        "source": StoredArray("source vector", "evidence"),
        "target": StoredArray("target vector", "items"),
    }

    def __post_init__(self) -> None:
        """Make what is derived from the vectors."""
        self._derive(np.ones(len(self.target)))

    def _derive(self, scale: Float64[NDArray[np.float64], " items"]) -> None:
        """Make what is derived, in blocks: all vectors in float64 may not fit in memory.

        Args:
            scale: what the vectors are multiplied by in the Gram matrix.
        """
        items, dim = self.target.shape
        gram, lengths, longest = np.zeros((dim, dim)), np.empty(items, np.float32), 0.0
        for begin in range(0, items, _ITEMS_AT_ONCE):
            own = slice(begin, begin + _ITEMS_AT_ONCE)
            target = self.target[own].astype(np.float64)
            length = np.sqrt(np.vecdot(target, target))
            lengths[own], longest = length, max(longest, float(length.max()))
            target *= scale[own, None]
            product = target.T @ target
            gram = gram + product if begin else product
        object.__setattr__(self, "gram", gram)
        object.__setattr__(self, "lengths", lengths)
        object.__setattr__(self, "longest", longest)

    def with_evidence(
        self, ids: IdMap, source: Float32[NDArray[np.float32], "evidence dim"]
    ) -> "EmbeddingSignal":
        """The same for other evidence: what is derived from the targets is not made again."""
        same = copy(self)
        object.__setattr__(same, "ids", ids)
        object.__setattr__(same, "source", source)
        return same

    def raw_scores(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """See `Signal.raw_scores`."""
        return _products(self.target, self.profile(evidence).astype(np.float32))

    def profile(self, evidence: EvidenceRows) -> Float64[NDArray[np.float64], " dim"]:
        """See `Signal.profile`: Σ_j e_j · source_j, kept as long as the evidence is."""
        if self not in evidence.made:
            evidence.made[self] = evidence.weight @ self.source[evidence.row].astype(np.float64)
        return evidence.made[self]

    def mean_square(self, evidence: EvidenceRows) -> float:
        """See `Signal.mean_square`: pᵀ G p over the number of items."""
        profile = self.profile(evidence)
        return max(0.0, float(profile @ self.gram @ profile)) / max(1, len(self.target))

    def largest(self, evidence: EvidenceRows) -> float:
        """See `Signal.largest`: Cauchy–Schwarz."""
        return float(np.linalg.norm(self.profile(evidence))) * self.longest

    def most_gained(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """See `Signal.most_gained`: Cauchy–Schwarz, which takes no product with all vectors."""
        return np.float32(np.linalg.norm(self.profile(evidence))) * self.lengths

    def sums(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], " k"]:
        """See `Signal.sums`."""
        # Item by item, so that items with the same vector have the same score.
        return np.vecdot(self.target[items].astype(np.float64), self.profile(evidence))

    def terms(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "evidence k"]:
        """See `Signal.terms`."""
        source, target = self.source[evidence.row], self.target[items]
        kernel = np.vecdot(source.astype(np.float64)[:, None], target.astype(np.float64))
        return evidence.weight[:, None] * kernel

    def batch_scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        """See `Signal.batch_scores`."""
        return np.asarray(evidence @ self.source, np.float32) @ self.target.T

    def moments(self, evidence: EvidenceRows) -> Moments:
        """See `Signal.moments`."""
        own = evidence.weight[:, None] * self.source[evidence.row].astype(np.float64)
        turned = own @ self.gram
        profile = own.sum(axis=0)
        square = np.einsum("jd,jd->j", turned, own)
        # No item has more than the length of the source times that of the longest target.
        fall = np.linalg.norm(own, axis=1) * self.longest
        return Moments(turned @ profile, square, fall, float(profile @ turned.sum(axis=0)))

    def alone(
        self,
        items: Int64[NDArray[np.int64], " k"],
        values: Float64[NDArray[np.float64], " items"],
    ) -> Callable[[Int64[NDArray[np.int64], " n"], int], Alone]:
        """See `Signal.alone`."""
        target = self.target[items].astype(np.float64).T
        turned = self._whole(values) @ self.target

        def of(nodes: Int64[NDArray[np.int64], " n"], first: int) -> Alone:
            source = self.source[nodes].astype(np.float64)
            square = np.vecdot(source @ self.gram, source)
            return Alone(source @ target[:, :first], source @ turned, square)

        return of

    def _whole(
        self, values: Float64[NDArray[np.float64], " items"]
    ) -> Float64[NDArray[np.float64], " items"]:
        """Values whose products with `target` are in the measure of `gram`."""
        return values

    def inner_products(self, evidence: EvidenceRows) -> Float64[NDArray[np.float64], "n n"]:
        """See `Signal.inner_products`."""
        own = evidence.weight[:, None] * self.source[evidence.row].astype(np.float64)
        return own @ self.gram @ own.T

    def reached(self) -> Bool[NDArray[np.bool_], " items"]:
        """See `Signal.reached`."""
        return np.asarray(self.target.any(axis=1))

    def arrays(self) -> Mapping[str, Any]:
        """See `Signal.arrays`: the fields that `layout` names."""
        return {name: getattr(self, name) for name in self.layout}

    @classmethod
    def from_arrays(
        cls,
        name: str,
        kind: EvidenceKind,
        ids: IdMap,
        arrays: Mapping[str, Any],
        settings: Mapping[str, Any],
    ) -> Self:
        """See `Signal.from_arrays`."""
        return cls(name, ids, kind=kind, **arrays)

    @property
    def by_two_steps(self) -> bool:
        """See `Signal.by_two_steps`."""
        return True

    def with_fresh_rows(
        self,
        ids: IdMap,
        stored: Int64[NDArray[np.int64], " evidence"],
        fresh: sp.csr_matrix,
        people: Int64[NDArray[np.int64], " items"],
    ) -> "EmbeddingSignal":
        """See `Signal.with_fresh_rows`."""
        made = self.new_source_vectors(fresh, people)
        both = np.concatenate([self.source[stored[stored >= 0]], made])
        return self.with_evidence(ids, both[fresh_order(stored)])

    def new_source_vectors(
        self, shares: sp.csr_matrix, people: Int64[NDArray[np.int64], " items"]
    ) -> Float32[NDArray[np.float32], "n dim"]:
        """What changed items say as evidence, by their neighbourhoods: see `new_item_vectors`."""
        return neighbourhood_vectors(self.source, people, shares)

    @property
    def item_vectors(self) -> Float32[NDArray[np.float32], "items dim"]:
        """The targets."""
        return self.target

    def new_item_vectors(
        self, shares: sp.csr_matrix, people: Int64[NDArray[np.int64], " items"]
    ) -> Float32[NDArray[np.float32], "n dim"]:
        """See `Signal.new_item_vectors`."""
        return neighbourhood_vectors(self.target, people, shares)

    def collapsed(self, known: Bool[NDArray[np.bool_], " items"]) -> list[str]:
        """See `Signal.collapsed`."""
        objections: list[str] = []
        for what, vectors in (("source", self.source), ("target", self.target)):
            wide = vectors[known].astype(np.float64)
            length = np.linalg.norm(wide, axis=1)
            unit = wide[length > 0.0] / length[length > 0.0, None]
            if np.median(length) < _NO_LENGTH:
                objections.append(f"the {what} vectors have collapsed to length 0")
            elif len(unit) > 1 and np.linalg.norm(unit.mean(axis=0)) > _ONE_DIRECTION:
                objections.append(f"the {what} vectors have collapsed to one direction")
        return objections


def _products(
    vectors: Float32[NDArray[np.float32], "items dim"],
    profile: Float32[NDArray[np.float32], " dim"],
) -> Float32[NDArray[np.float32], " items"]:
    """<vector_i, profile> of every item, in blocks that BLAS does not spread over threads.

    On busy cores its threads wait for each other for tens of milliseconds, and the sum itself
    takes a fraction of one.
    """
    most = max(1, _VALUES_OF_ONE_THREAD // vectors.shape[1])
    rows = min(ITEMS_IN_A_BLOCK, 1 << (most.bit_length() - 1))  # a power of 2, so that it divides
    whole = len(vectors) // rows * rows
    scores = np.empty(len(vectors), np.float32)
    blocks = vectors[:whole].reshape(-1, rows, vectors.shape[1])
    np.matmul(blocks, profile, out=scores[:whole].reshape(-1, rows))
    np.matmul(vectors[whole:], profile, out=scores[whole:])
    return scores


def neighbourhood_vectors(
    vectors: Float32[NDArray[np.float32], "items dim"],
    people: Int64[NDArray[np.int64], " items"],
    shares: sp.csr_matrix,
) -> Float32[NDArray[np.float32], "n dim"]:
    """Vectors for nodes that were not learned: how the mean of others' differs from any mean.

    A mean over a random walk's neighbours has all that their vectors have in common, whatever the
    node; that is how popular they are, which other parts of a score say. The mean where such walks
    end up, in proportion to `people`, is taken off.

    Args:
        vectors: those that were learned.
        people: how many users have each of them.
        shares: what each of the others counts, [n, items].

    Returns:
        The vectors; 0 where no other counts.
    """
    total = np.asarray(shares.sum(axis=1)).ravel()
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    mean = np.asarray(shares @ vectors) * scale[:, None]
    usual = people.astype(np.float32) @ vectors / max(1, people.sum())
    return np.where(total[:, None] > 0, mean - usual, 0.0).astype(np.float32)


def cosines(
    of: Float32[NDArray[np.float32], "n dim"], vectors: Float32[NDArray[np.float32], "items dim"]
) -> Float32[NDArray[np.float32], "n items"]:
    """Cosine of some vectors with all of others; 0 with a vector of length 0."""
    return (of @ vectors.T) * inverse_lengths(of)[:, None] * inverse_lengths(vectors)


def inverse_lengths(
    vectors: Float32[NDArray[np.float32], "items dim"],
) -> Float32[NDArray[np.float32], " items"]:
    """1 over the length of each vector; 0 for one of length 0."""
    length = np.linalg.norm(vectors, axis=1)
    return np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
