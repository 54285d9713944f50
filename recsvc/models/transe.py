"""TransE: a relation is a step from one node to another."""

from jaxtyping import Float32
from torch import Tensor

from recsvc.models._factors import FACTOR_SEARCH
from recsvc.models._triples import TripleModel, TripleOptions, fit_triples, triple_memory_bytes
from recsvc.models.base import FitReport, FitRun, TrainingData

SEARCH = FACTOR_SEARCH
LINKS = True
"""It scores links."""


class TransEOptions(TripleOptions):
    """Options of TransE."""


class TransEModel(TripleModel):
    """Vectors of nodes and of steps between them."""

    @staticmethod
    def query(
        node: Float32[Tensor, "n dim"],
        relation: Float32[Tensor, "n dim"],
        sign: Float32[Tensor, "n 1"],
    ) -> Float32[Tensor, "n dim"]:
        """See `TripleModel.query`: h + r, and t - r."""
        return node + sign * relation


def memory_bytes(data: TrainingData, options: TransEOptions) -> int:
    """Bytes of the tables, the facts and a batch."""
    return triple_memory_bytes(data, options)


def fit(data: TrainingData, options: TransEOptions, run: FitRun) -> tuple[TransEModel, FitReport]:
    """Fit TransE. See `Fit`.

    Bordes et al. 2013, "Translating embeddings for modeling multi-relational data", eq. 1 with the
    L2 norm: a fact is plausible where h + r is near t, with |h| = |t| = 1. As

        -|h + r - t|² = 2 <h + r, t> - |h + r|² - 1

    and only the first part depends on t, the inner product <h + r, t> ranks all t as the distance
    does, and <t - r, h> all h.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_triples(TransEModel, "transe", data, options, run)
