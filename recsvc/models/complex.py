# pyright: basic
# torch's types are partial: what comes out of an operator is often unknown.
"""ComplEx: DistMult over complex numbers, in which a relation has a direction."""

from typing import ClassVar

import torch
from jaxtyping import Float32
from pydantic import field_validator
from torch import Tensor

from recsvc.models._factors import FACTOR_SEARCH
from recsvc.models._triples import TripleModel, TripleOptions, fit_triples, triple_memory_bytes
from recsvc.models.base import FitReport, FitRun, TrainingData

SEARCH = FACTOR_SEARCH
LINKS = True
"""It scores links."""


class ComplExOptions(TripleOptions):
    """Options of ComplEx; a complex number takes two dimensions."""

    @field_validator("dimensions")
    @classmethod
    def _two_for_each_number(cls, dimensions: int) -> int:
        if dimensions % 2:
            raise ValueError(f"{dimensions}: a complex number takes two: expected an even number")
        return dimensions


class ComplExModel(TripleModel):
    """Complex vectors: the first half of a row is the real part, the second the imaginary one."""

    neutral: ClassVar[tuple[float, float]] = (1.0, 0.0)

    @staticmethod
    def query(
        node: Float32[Tensor, "n dim"],
        relation: Float32[Tensor, "n dim"],
        sign: Float32[Tensor, "n 1"],
    ) -> Float32[Tensor, "n dim"]:
        """See `TripleModel.query`: h ∘ r, and t ∘ r̄."""
        real, imaginary = node.chunk(2, dim=1)
        along, across = relation.chunk(2, dim=1)
        across = sign * across
        return torch.cat(
            [real * along - imaginary * across, real * across + imaginary * along], dim=1
        )


def memory_bytes(data: TrainingData, options: ComplExOptions) -> int:
    """Bytes of the tables, the facts and a batch."""
    return triple_memory_bytes(data, options)


def fit(data: TrainingData, options: ComplExOptions, run: FitRun) -> tuple[ComplExModel, FitReport]:
    """Fit ComplEx. See `Fit`.

    score(h, r, t) = Re Σ_f h_f r_f t̄_f, with |h| = |t| = 1 (Trouillon et al. 2016, "Complex
    embeddings for simple link prediction", eq. 9). This is the inner product, of real and imaginary
    parts beside each other, of h ∘ r with t, and of t ∘ r̄ with h.

    Raises:
        TrainingError: there is no evidence, or the loss is no longer finite.
    """
    return fit_triples(ComplExModel, "complex", data, options, run)
