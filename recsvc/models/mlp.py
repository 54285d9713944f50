"""MLP: a similarity of two vectors that layers learn."""

from recsvc.models._neural import (
    NEURAL_SEARCH,
    LayeredOptions,
    NeuralModel,
    fit_neural,
    neural_memory_bytes,
)
from recsvc.models.base import FitReport, FitRun, TrainingData

SEARCH = NEURAL_SEARCH


class MLPOptions(LayeredOptions):
    """Options of the multi-layer perceptron."""


def memory_bytes(data: TrainingData, options: MLPOptions) -> int:
    """Bytes of the table, the evidence, a step, and scores of some pairs."""
    return neural_memory_bytes(data, options, product=0, layers=options.layers)


def fit(data: TrainingData, options: MLPOptions, run: FitRun) -> tuple[NeuralModel, FitReport]:
    """Fit the perceptron. See `Fit`.

    score(u, i) = <w, x_L>, x_0 = p_u beside q_i, x_k = relu(x_(k-1) W_k + b_k): He et al. 2017,
    "Neural collaborative filtering", eq. 10, with binary cross-entropy against items drawn at
    random.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_neural("mlp", data, options, run, product=0, layers=options.layers)
