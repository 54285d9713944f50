"""Vectors of a network that also says what a new item's vector is."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Int64
from numpy.typing import NDArray

from recsvc.signals.base import StoredArray
from recsvc.signals.embedding import EmbeddingSignal

_Vectors = Float32[NDArray[np.float32], "items dim"]


def _none() -> _Vectors:
    return np.empty((0, 0), np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class InductiveSignal(EmbeddingSignal):
    """Inner products as in `EmbeddingSignal`, and what each item sends to those that are new.

    The vector of an item that the refresh did not know is Σ_j α_j sent_j, with α the chances of
    a random walk that goes two steps from it: what the network computes of its neighbours alone,
    whose last layer is linear (`recsvc.models._item_network`).

    Attributes:
        sent_source: what an item sends to the source vector of a new one.
        sent_target: what it sends to the target vector, before that is brought to length 1.
    """

    sent_source: _Vectors = field(default_factory=_none)
    sent_target: _Vectors = field(default_factory=_none)

    form: ClassVar[str] = "inductive"
    layout: ClassVar[Mapping[str, StoredArray]] = {
        **EmbeddingSignal.layout,
        "sent_source": StoredArray("source vector that is sent", "items"),
        "sent_target": StoredArray("target vector that is sent", "items"),
    }

    def new_source_vectors(
        self, shares: sp.csr_matrix, people: Int64[NDArray[np.int64], " items"]
    ) -> _Vectors:
        """See `EmbeddingSignal.new_source_vectors`: what the neighbours send."""
        return _mean(self.sent_source, shares)

    def new_item_vectors(
        self, shares: sp.csr_matrix, people: Int64[NDArray[np.int64], " items"]
    ) -> _Vectors:
        """See `Signal.new_item_vectors`."""
        made = _mean(self.sent_target, shares)
        length = np.linalg.norm(made, axis=1, keepdims=True)
        return np.divide(made, length, out=np.zeros_like(made), where=length > 0)


def _mean(vectors: _Vectors, shares: sp.csr_matrix) -> _Vectors:
    """The mean by shares, of the items that have a vector; 0 where there is none."""
    there = np.asarray(vectors.any(axis=1), np.float32)
    total = np.asarray(shares @ there, np.float32)[:, None]
    summed = np.asarray(shares @ vectors, np.float32)
    return np.divide(summed, total, out=np.zeros_like(summed), where=total > 0)
