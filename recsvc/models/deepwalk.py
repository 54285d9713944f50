"""DeepWalk: vectors of nodes that uniform random walks pass close together."""

from dataclasses import replace

from recsvc.models import node2vec
from recsvc.models.base import FitReport, FitRun, TrainingData
from recsvc.models.node2vec import (
    WALK_SEARCH,
    Node2VecModel,
    Node2VecOptions,
    WalkOptions,
    memory_bytes,
)

__all__ = ["SEARCH", "DeepWalkOptions", "fit", "memory_bytes"]

SEARCH = WALK_SEARCH


class DeepWalkOptions(WalkOptions):
    """Options of DeepWalk."""


def fit(
    data: TrainingData, options: DeepWalkOptions, run: FitRun
) -> tuple[Node2VecModel, FitReport]:
    """Node2Vec with p = q = 1: the next node is drawn by weight alone. See `Fit`.

    Perozzi, Al-Rfou & Skiena 2014, "DeepWalk: online learning of social representations", with
    negative sampling, as node2vec has it, in place of hierarchical softmax.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    model, report = node2vec.fit(data, Node2VecOptions.model_validate(options.model_dump()), run)
    return replace(model, name="deepwalk"), report
