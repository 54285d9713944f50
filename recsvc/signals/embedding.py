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
