"""The blend by ranks: reciprocal rank fusion."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.blend.blend import LEAST_WEIGHT, reciprocal_ranks
from recsvc.evidence import EvidenceMatrices, of_users
from recsvc.models.base import FittedModel
from recsvc.signals.base import Signal


@dataclass(frozen=True, slots=True, eq=False)
class RankFusionModel:
    """Reciprocal rank fusion: Σ_s 1 / (k + rank_s(u, i)). Ranks are not linear in anything.

    Attributes:
        parts: fitted models.
        side: PageRank and meta-paths.
        besides: what is known of all users besides items.
        prior: popularity, one more list with the weight `LEAST_WEIGHT`: it orders what the others
            leave equal.
        constant: k.
    """

    parts: tuple[FittedModel, ...]
    side: tuple[Signal, ...]
    besides: EvidenceMatrices
    prior: Float32[NDArray[np.float32], " items"]
    constant: float

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "hybrid"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`."""
        given: EvidenceMatrices = {**of_users(self.besides, user_index), "item": evidence}
        lists = [
            *(part.scores(user_index, evidence) for part in self.parts),
            *(signal.batch_scores(signal.weighed_of(given)) for signal in self.side),
        ]
        prior = np.tile(self.prior, (len(user_index), 1))
        total = LEAST_WEIGHT * reciprocal_ranks(prior, evidence, self.constant)
        for scores in lists:
            total += reciprocal_ranks(scores, evidence, self.constant)
        return total.astype(np.float32)

    def signal(self, items: IdMap) -> None:
        """See `FittedModel.signal`: not linear in a user's items."""
