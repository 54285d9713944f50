"""What a refresh is about to make active, and what it was learned from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool
from numpy.typing import NDArray

from loaders import writeback
from loaders.extract import ItemDetails
from loaders.parts import Part
from loaders.types import HeteroGraph, IdMap
from recsvc.blend.blend import Blend
from recsvc.blend.parts import Fitted, Learned, Vectors
from recsvc.models import ModelOptions
from recsvc.refresh.fine_tuning_state import Start
from recsvc.snapshot.arrays import Snapshot

_LEVELS = 10
"""Most steps from a category to one above it, here and in `cypher/serve/category_items.cypher`."""


@dataclass(frozen=True, slots=True, eq=False)
class Extracted:
    """The graph, and when it was read, in Unix seconds."""

    graph: HeteroGraph
    details: ItemDetails
    at: float


@dataclass(frozen=True, slots=True, eq=False)
class Basis:
    """What a refresh learns from.

    Attributes:
        extracted: the graph.
        evidence: weights of all users, [users, items].
        start: what it goes on from.
        options: of each model.
        learned: the weights, and how good they are.
    """

    extracted: Extracted
    evidence: sp.csr_matrix
    start: Start
    options: Mapping[str, ModelOptions]
    learned: Learned

    @property
    def graph(self) -> HeteroGraph:
        """Nodes and relationships."""
        return self.extracted.graph


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """What is about to become active.

    Attributes:
        basis: what it was learned from, and its weights.
        versions: by model, `hybrid` among them.
        fitted: by model.
        blend: what is served.
        known: the items that somebody did something with.
        content: the packed snapshot, in parts.
        sha256: of the snapshot.
        cut: see `RunManifest`.
    """

    basis: Basis
    versions: Mapping[str, writeback.Version]
    fitted: Mapping[str, Fitted]
    blend: Blend
    known: Bool[NDArray[np.bool_], " items"]
    content: Sequence[Part]
    sha256: str
    cut: Mapping[str, float]

    @property
    def vectors(self) -> dict[str, Vectors]:
        """The vectors, by model that has some."""
        kernels = {name: part.kernel for name, part in self.fitted.items()}
        return {name: kernel for name, kernel in kernels.items() if isinstance(kernel, Vectors)}

    @property
    def numbers(self) -> dict[str, int]:
        """The number of the version, by model."""
        return {name: version.number for name, version in self.versions.items()}

    @property
    def counts(self) -> dict[str, int]:
        """Nodes, relationships, vectors and bytes."""
        graph = self.basis.graph
        return {
            "users": len(graph.users), "items": len(graph.items),
            "categories": len(graph.categories), "interactions": len(graph.interactions),
            "follows": len(graph.follows),
            "vectors": sum(len(own.user) + len(own.item) for own in self.vectors.values()),
            "snapshot_bytes": sum(len(part.content) for part in self.content),
        }  # fmt: skip


def snapshot_of(
    graph: HeteroGraph, details: ItemDetails, evidence: sp.csr_matrix, blend: Blend,
    versions: Mapping[str, int], kinds: tuple[str, ...],
) -> Snapshot:  # fmt: skip
    """What answers are made from."""
    by_user = any(signal.kind == "user" for signal in blend.signals)
    counts = np.bincount(graph.interactions.user_index, minlength=len(graph.users))
    return Snapshot(
        versions=versions,
        items=graph.items,
        categories=graph.categories,
        users=graph.users if by_user else IdMap(()),
        user_counts=counts if by_user else counts[:0],
        item_people=evidence.getnnz(axis=0).astype(np.int64),
        titles=details.titles,
        available=np.array(details.available, bool),
        in_category=_with_above(graph),
        blend=blend,
        event=_only_event(graph),
        kinds=kinds,
    )


def _with_above(graph: HeteroGraph) -> sp.csr_matrix:
    """The categories of each item and those above them, bool [items, categories]."""
    number = len(graph.categories)
    inside = graph.in_category.matrix(len(graph.items), number, weighted=False) > 0
    above = graph.subcategory_of.matrix(number, number, weighted=False) > 0
    for _ in range(_LEVELS):
        before, inside = inside.nnz, (inside + inside @ above) > 0
        if inside.nnz == before:
            break
    return sp.csr_matrix(inside)


def _only_event(graph: HeteroGraph) -> str | None:
    """The kind of event that all interactions have; None where there are several."""
    kinds = np.unique(graph.interactions.event_index).tolist()
    return graph.interactions.events[kinds[0]] if len(kinds) == 1 else None
