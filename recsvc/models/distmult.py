"""DistMult: a relation is a weight for each dimension."""

from typing import ClassVar

from jaxtyping import Float32
from torch import Tensor

from recsvc.models._factors import FACTOR_SEARCH
from recsvc.models._triples import TripleModel, TripleOptions, fit_triples, triple_memory_bytes
from recsvc.models.base import FitReport, FitRun, TrainingData

SEARCH = FACTOR_SEARCH
LINKS = True
"""It scores links."""


class DistMultOptions(TripleOptions):
    """Options of DistMult."""


class DistMultModel(TripleModel):
    """Vectors of nodes, and what each relation makes their dimensions count."""

    neutral: ClassVar[tuple[float, float]] = (1.0, 1.0)

    @staticmethod
    def query(
        node: Float32[Tensor, "n dim"],
        relation: Float32[Tensor, "n dim"],
        sign: Float32[Tensor, "n 1"],
    ) -> Float32[Tensor, "n dim"]:
        """See `TripleModel.query`: h ∘ r, and t ∘ r."""
        return node * relation


def memory_bytes(data: TrainingData, options: DistMultOptions) -> int:
    """Bytes of the tables, the facts and a batch."""
    return triple_memory_bytes(data, options)


def fit(
    data: TrainingData, options: DistMultOptions, run: FitRun
) -> tuple[DistMultModel, FitReport]:
    """Fit DistMult. See `Fit`.

    score(h, r, t) = Σ_f h_f r_f t_f, with |h| = |t| = 1 (Yang et al. 2015, "Embedding entities and
    relations for learning and inference in knowledge bases", §3.1). Head and tail may be exchanged:
    who follows and who is followed are not told apart.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_triples(DistMultModel, "distmult", data, options, run)
