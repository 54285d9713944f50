"""GMF: a weighted dot product, trained as the neural models are."""

from recsvc.models._neural import (
    NEURAL_SEARCH,
    NeuralModel,
    NeuralOptions,
    fit_neural,
    neural_memory_bytes,
)
from recsvc.models.base import FitReport, FitRun, TrainingData

SEARCH = NEURAL_SEARCH


class GMFOptions(NeuralOptions):
    """Options of generalised matrix factorisation."""


def memory_bytes(data: TrainingData, options: GMFOptions) -> int:
    """Bytes of the table, the evidence and a step."""
    return neural_memory_bytes(data, options, product=options.dimensions, layers=0)


def fit(data: TrainingData, options: GMFOptions, run: FitRun) -> tuple[NeuralModel, FitReport]:
    """Fit GMF. See `Fit`.

    score(u, i) = <h, p_u ∘ q_i>: He et al. 2017, "Neural collaborative filtering", eq. 9, with
    binary cross-entropy against items drawn at random.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_neural("gmf", data, options, run, product=options.dimensions, layers=0)
