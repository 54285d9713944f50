"""What every signal can do."""

from typing import Protocol

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.evidence import EvidenceKind, EvidenceRows


class Signal(Protocol):
    """A kernel `K(evidence node, item)` over one kind of evidence."""

    @property
    def name(self) -> str:
        """The name it has in answers."""
        ...

    @property
    def kind(self) -> EvidenceKind:
        """The kind of evidence it starts from."""
        ...

    @property
    def ids(self) -> IdMap:
        """The evidence nodes it knows, and their rows."""
        ...

    def raw_scores(self, evidence: EvidenceRows) -> Float32[NDArray[np.float32], " items"]:
        """Σ_j e_j · K(j, i) for every item i."""
        ...

    def terms(
        self, evidence: EvidenceRows, items: Int64[NDArray[np.int64], " k"]
    ) -> Float64[NDArray[np.float64], "evidence k"]:
        """e_j · K(j, i) for each piece of evidence and each of the given items."""
        ...

    def batch_scores(self, evidence: sp.csr_matrix) -> Float32[NDArray[np.float32], "n items"]:
        """`raw_scores` of many users; `evidence` is [n, evidence nodes]."""
        ...
