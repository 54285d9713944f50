"""Similarity of what items say of themselves: their texts and images, by an encoder."""

from time import perf_counter

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray
from pydantic import Field

from loaders.types import IdMap
from recsvc.content.options import ContentSource
from recsvc.errors import TrainingError
from recsvc.models._vectors import VectorModel
from recsvc.models.base import (
    FitReport,
    FitRun,
    ModelOptions,
    TrainingData,
    require_evidence,
)
from recsvc.signals.content import ContentSignal

_LEAST_EIGENVALUE = 1e-6
"""Of the largest one: what is less is rounding."""


class ContentOptions(ContentSource, ModelOptions):
    """Options of the similarity of content: what is encoded by what, and how long vectors are."""

    dimensions: int = Field(default=384, ge=1, le=4096)
    """Length of a vector: longer ones of an encoder are projected on their main directions."""
    whitening: float = Field(default=0.25, ge=0.0, le=0.5)
    """How much less the directions count in which texts differ most: 0 not at all, and with 0.5
    all directions the same."""


class ContentModel(VectorModel):
    """Vectors of what nodes say of themselves.

    Both vectors of an item are c_i; that of a user has the direction of Σ_j e_uj c_j and of the
    user's own text.
    """

    __slots__ = ()

    def signal(self, items: IdMap) -> ContentSignal:
        """See `FittedModel.signal`."""
        return ContentSignal(self.name, items, self.source_vectors, self.item_vectors)


def memory_bytes(data: TrainingData, options: ContentOptions) -> int:
    """Bytes of what the encoder gave, of its main directions, and of the vectors of users."""
    users, items = data.evidence.shape
    given = sum(vectors.size for vectors in data.graph.content.values())
    return 4 * given + 4 * (users + 3 * items) * options.dimensions


def fit(data: TrainingData, options: ContentOptions, run: FitRun) -> tuple[ContentModel, FitReport]:
    """Take the vectors of the graph. See `Fit`.

        K(j, i) = cos(S^-p Vᵀ ĉ_j, S^-p Vᵀ ĉ_i)

    with ĉ the vectors that the graph has (`HeteroGraph.content`), and V and S the eigenvectors and
    eigenvalues of Σ_i ĉ_i ĉ_iᵀ. With p = 0 and all of V this is the cosine of two texts, as
    content-based recommenders have it (Lops, de Gemmis & Semeraro 2011, "Content-based recommender
    systems", §3.3). Vectors of sentences differ mostly in a few directions; p = ½ whitens them (Su
    et al. 2021, "Whitening sentence representations for better semantics and faster retrieval",
    §3), and with p between the two those that differ less count too.

    Raises:
        TrainingError: there is no evidence, or the graph has no vectors.
    """
    start = perf_counter()
    require_evidence(data)
    given = data.graph.content.get("Item")
    if given is None:
        raise TrainingError(
            "content has nothing to learn from: no property was encoded. Name properties of items "
            "and an encoder in [models.content]"
        )
    main = _main_directions(given, options)
    items = _directions(np.asarray(given @ main, np.float32))
    users = _directions(np.asarray(data.evidence @ items, np.float32))
    if (own := data.graph.content.get("User")) is not None:
        users = _directions(users + _directions(np.asarray(own @ main, np.float32)))
    model = ContentModel("content", users, items, items)
    return model, FitReport.without_epochs(start, memory_bytes(data, options))


def _main_directions(
    vectors: Float32[NDArray[np.float32], "nodes dim"], options: ContentOptions
) -> Float32[NDArray[np.float32], "dim main"]:
    """V S^-p; a direction in which nothing differs is left out of account."""
    values, directions = np.linalg.eigh((vectors.T @ vectors).astype(np.float64))
    values, directions = values[::-1], directions[:, ::-1]
    scale = np.zeros(len(values))
    there = values > _LEAST_EIGENVALUE * values[0]
    scale[there] = (values[there] / values[0]) ** -options.whitening
    return (directions * scale)[:, : options.dimensions].astype(np.float32)


def _directions(
    vectors: Float32[NDArray[np.float32], "nodes dim"],
) -> Float32[NDArray[np.float32], "nodes dim"]:
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.divide(vectors, length, out=np.zeros_like(vectors), where=length > 0.0)
