"""A kernel through nodes in between: K(j, i) = Σ_m left_jm · right_im, both sides sparse."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EvidenceKind, EvidenceRows


@dataclass(frozen=True, slots=True, eq=False)
class ProductSignal:
    """Paths of two steps, kept as their steps: the product would be nearly full.

    Attributes:
        name: the name it has in answers.
        kind: the kind of evidence.
        ids: the evidence nodes.
        left: float32 [evidence nodes, between].
        right: float32 [items, between].
    """

    name: str
    kind: EvidenceKind
    ids: IdMap
    left: sp.csr_matrix
    right: sp.csr_matrix

    def raw_scores(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """See `Signal.raw_scores`."""
        profile = self.left[evidence.row].T @ evidence.weight
        return np.asarray(self.right @ profile, np.float32)

    def terms(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "evidence k"]:
        """See `Signal.terms`."""
        left = self.left[evidence.row].astype(np.float64)
        kernel = left @ self.right[items].astype(np.float64).T
        return evidence.weight[:, None] * kernel.toarray()

    def batch_scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        """See `Signal.batch_scores`."""
        profiles = (evidence @ self.left).toarray()
        return np.ascontiguousarray((self.right @ profiles.T).T, np.float32)
