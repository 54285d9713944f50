"""Similarity of embeddings as a kernel: K(j, i) = <source_j, target_i>."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EvidenceKind, EvidenceRows


@dataclass(frozen=True, slots=True, eq=False)
class EmbeddingSignal:
    """Inner products between what stands for the evidence and what stands for the item.

    LightGCN's user vector is linear in the user's items once each item stores a source vector
    (He et al. 2020, eq. 3–4 unrolled); Node2Vec takes skip-gram's input vectors as sources and its
    output vectors as targets.

    Attributes:
        name: the model's name.
        ids: items; one row of both tables each.
        source: what an item says as evidence.
        target: what an item is when it is ranked.
        kind: the kind of evidence: items.
    """

    name: str
    ids: IdMap
    source: Float32[NDArray[np.float32], "items dim"]
    target: Float32[NDArray[np.float32], "items dim"]
    kind: EvidenceKind = "item"

    def raw_scores(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """See `Signal.raw_scores`."""
        profile = evidence.weight.astype(np.float32) @ self.source[evidence.row]
        return np.asarray(self.target @ profile, np.float32)

    def terms(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "evidence k"]:
        """See `Signal.terms`."""
        source = self.source[evidence.row].astype(np.float64)
        return evidence.weight[:, None] * (source @ self.target[items].astype(np.float64).T)

    def batch_scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        """See `Signal.batch_scores`."""
        return np.asarray(evidence @ self.source, np.float32) @ self.target.T


def cosines(
    vectors: Float32[NDArray[np.float32], "items dim"], rows: Int64[NDArray[np.int64], " n"]
) -> Float32[NDArray[np.float32], "n items"]:
    """Cosine of some rows with all rows; 0 with a vector of length 0."""
    length = np.linalg.norm(vectors, axis=1)
    scale = np.divide(1.0, length, out=np.zeros_like(length), where=length > 0)
    return (vectors[rows] @ vectors.T) * scale[rows, None] * scale


def nearest_items(
    vectors: Float32[NDArray[np.float32], "items dim"], k: int, *, chunk: int = 1024
) -> tuple[Int64[NDArray[np.int64], "items k"], Float32[NDArray[np.float32], "items k"]]:
    """The k nearest other rows of each row, by cosine.

    Returns:
        Rows, best first (ties: smaller row), -1 where a vector of length 0 is on either side; and
        the cosines.
    """
    k = min(k, len(vectors) - 1)
    empty = np.asarray(~vectors.any(axis=1))
    neighbours = np.full((len(vectors), k), -1, np.int64)
    scores = np.zeros((len(vectors), k), np.float32)
    for start in range(0, len(vectors), chunk):
        rows = np.arange(start, min(start + chunk, len(vectors)))
        cosine = cosines(vectors, rows)
        cosine[:, empty] = -np.inf
        cosine[np.arange(len(rows)), rows] = -np.inf
        top = np.sort(np.argpartition(-cosine, k - 1, axis=1)[:, :k], axis=1)
        value = np.take_along_axis(cosine, top, 1)
        order = np.argsort(-value, axis=1, kind="stable")
        neighbours[rows] = np.take_along_axis(top, order, 1)
        scores[rows] = np.take_along_axis(value, order, 1)
    none = empty[:, None] | np.isneginf(scores)
    neighbours[none], scores[none] = -1, 0.0
    return neighbours, scores
