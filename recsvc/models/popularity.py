"""The prior: the same items for everybody."""

from dataclasses import dataclass
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from loaders.types import IdMap
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    TrainingData,
    require_evidence,
)


class PopularityOptions(ModelOptions):
    """Popularity has nothing to set."""


@dataclass(frozen=True, slots=True, eq=False)
class PopularityModel:
    """How much all users together did with an item: prior_i = Σ_u e_ui.

    Attributes:
        prior: one number per item.
    """

    prior: Float32[NDArray[np.float32], " items"]

    @property
    def name(self) -> str:
        """See `FittedModel.name`."""
        return "popularity"

    def scores(
        self, user_index: Int64[NDArray[np.int64], " n"], evidence: sp.csr_matrix
    ) -> Float32[NDArray[np.float32], "n items"]:
        """See `FittedModel.scores`: the prior in every row, a read-only view of it."""
        return np.broadcast_to(self.prior, (len(user_index), len(self.prior)))

    def signal(self, items: IdMap) -> None:
        """See `FittedModel.signal`: nothing that a user did counts."""


def memory_bytes(data: TrainingData, options: PopularityOptions) -> int:
    """Bytes of the prior."""
    return 4 * data.evidence.shape[1]


def fit(
    data: TrainingData,
    options: PopularityOptions,
    run: FitRun,
) -> tuple[PopularityModel, FitReport]:
    """Sum the evidence of each item. See `Fit`.

    Raises:
        TrainingError: there is no evidence.
    """
    start = perf_counter()
    require_evidence(data)
    model = PopularityModel(np.asarray(data.evidence.sum(axis=0), np.float32).ravel())
    report = FitReport(perf_counter() - start, 0, None, (), memory_bytes(data, options))
    return model, report
