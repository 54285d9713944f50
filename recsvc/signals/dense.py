"""A kernel stored whole: K(j, i) for every pair of items."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EvidenceKind, EvidenceRows
from recsvc.signals.base import Signal


@dataclass(frozen=True, slots=True, eq=False)
class DenseSignal(Signal):
    """One number for each pair of items; for some thousands of items.

    Attributes:
        name: the model's name.
        ids: items; one row and one column each.
        kernel: K(j, i).
        kind: the kind of evidence: items.
    """

    name: str
    ids: IdMap
    kernel: Float32[NDArray[np.float32], "items items"]
    kind: EvidenceKind = "item"

    def raw_scores(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """See `Signal.raw_scores`."""
        return np.asarray(evidence.weight @ self.kernel[evidence.row], np.float32)

    def terms(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "evidence k"]:
        """See `Signal.terms`."""
        return evidence.weight[:, None] * self.kernel[np.ix_(evidence.row, items)].astype(float)

    def batch_scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        """See `Signal.batch_scores`."""
        return np.asarray(evidence @ self.kernel, np.float32)
