"""NCF, or NeuMF: GMF and MLP, each with vectors of its own, added up."""

from recsvc.models._neural import (
    NEURAL_SEARCH,
    LayeredOptions,
    NeuralModel,
    fit_neural,
    neural_memory_bytes,
)
from recsvc.models.base import FitReport, FitRun, TrainingData

SEARCH = NEURAL_SEARCH


class NCFOptions(LayeredOptions):
    """Options of neural matrix factorisation; each part has vectors of length `dimensions`."""


def memory_bytes(data: TrainingData, options: NCFOptions) -> int:
    """Bytes of the table, the evidence, a step, and scores of some pairs."""
    return neural_memory_bytes(data, options, product=options.dimensions, layers=options.layers)


def fit(data: TrainingData, options: NCFOptions, run: FitRun) -> tuple[NeuralModel, FitReport]:
    """Fit NeuMF. See `Fit`.

    score(u, i) = <h, p_u ∘ q_i> + <w, x_L>: He et al. 2017, "Neural collaborative filtering",
    eq. 12, with binary cross-entropy against items drawn at random, and without fitting both parts
    alone before.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_neural("ncf", data, options, run, product=options.dimensions, layers=options.layers)
