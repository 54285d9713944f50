"""The prior: the same items for everybody."""

from dataclasses import dataclass
from time import perf_counter, time

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray
from pydantic import Field

from loaders.types import IdMap
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    Range,
    TrainingData,
    require_evidence,
)

SEARCH = {"half_life_days": Range(1.0, 1000.0, logarithmic=True)}

_SECONDS_PER_DAY = 86_400.0


class PopularityOptions(ModelOptions):
    """Options of popularity."""

    half_life_days: float | None = Field(default=None, gt=0.0)
    """Days after which what somebody did counts half, from the newest time in the data back; what
    has no known time counts in full, and so does a time to come. None: age does not count."""


@dataclass(frozen=True, slots=True, eq=False)
class PopularityModel:
    """How much all users together did with an item: prior_i = Σ_u e_ui · 2^(−age_ui / half-life).

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
    """Bytes of the prior, and of the evidence and its ages where those count."""
    aged = 0 if options.half_life_days is None else 5 * 8 * data.evidence.nnz
    return 4 * data.evidence.shape[1] + aged


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
    evidence = data.evidence
    if options.half_life_days is not None:
        evidence = _decayed(data, options.half_life_days)
    model = PopularityModel(np.asarray(evidence.sum(axis=0), np.float32).ravel())
    report = FitReport.without_epochs(start, memory_bytes(data, options))
    return model, report


def _decayed(data: TrainingData, half_life_days: float) -> sp.csr_matrix:
    """The evidence by its age: of several events of a pair, the newest one says how old it is."""
    did = data.graph.interactions
    is_timed = np.isfinite(did.last_at)
    newest = np.full(data.evidence.nnz, -np.inf)
    evidence = data.evidence.sorted_indices()
    users, items = evidence.shape
    owner = np.repeat(np.arange(users), np.diff(evidence.indptr))
    pairs = owner * items + evidence.indices
    wanted = did.user_index[is_timed] * items + did.item_index[is_timed]
    place = np.searchsorted(pairs, wanted).clip(max=len(pairs) - 1)
    there = pairs[place] == wanted
    last_at = did.last_at[is_timed][there]
    if not len(last_at):
        return evidence
    np.maximum.at(newest, place[there], last_at)
    now = min(float(last_at.max()), time())
    age = np.where(np.isfinite(newest), now - newest, 0.0).clip(min=0.0) / _SECONDS_PER_DAY
    evidence.data = evidence.data * np.exp2(-age / half_life_days)
    return evidence
