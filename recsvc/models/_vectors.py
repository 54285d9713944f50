"""The fitted form of the models whose kernel is a product of vectors."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.signals.base import Signal
from recsvc.signals.embedding import EmbeddingSignal


@dataclass(frozen=True, slots=True, eq=False)
class VectorModel:
    """K(j, i) = <source_j, item_i>; the models differ in how the vectors are made.

    Attributes:
        name: the name in `MODELS`.
        user_vectors: what is written to the graph of users; scores do not need them.
        item_vectors: what an item is when it is ranked.
        source_vectors: what an item says as evidence.
    """

    name: str
    user_vectors: Float32[NDArray[np.float32], "users dim"]
    item_vectors: Float32[NDArray[np.float32], "items dim"]
    source_vectors: Float32[NDArray[np.float32], "items dim"]

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: Σ_j e_j · <source_j, item_i>, of the evidence as given."""
        return np.asarray((evidence @ self.source_vectors) @ self.item_vectors.T, np.float32)

    def signal(self, items: IdMap) -> Signal:
        """See `FittedModel.signal`."""
        return EmbeddingSignal(self.name, items, self.source_vectors, self.item_vectors)
