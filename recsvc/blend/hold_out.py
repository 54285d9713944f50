"""What a blend holds out: the same of every signal, whether it is fitted, computed or counted."""

from dataclasses import dataclass, replace

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph
from recsvc.blend.options import BlendOptions
from recsvc.evaluation.splits import MANY, entries, hold_out_again, id_numbers, without_pairs
from recsvc.evidence import EvidenceMatrices, of_users, pair_times, since_matrix


@dataclass(frozen=True, slots=True, eq=False)
class ValidationSplit:
    """The one hold-out: every signal is made from what is left, and asked for the rest.

    Attributes:
        users: validation users.
        graph: the graph without what is held out.
        kept: everybody's evidence without it, [users, items].
        held_out: [users, items].
    """

    users: Int64[NDArray[np.int64], " validation"]
    graph: HeteroGraph
    kept: sp.csr_matrix
    held_out: sp.csr_matrix

    @property
    def has_many(self) -> Bool[NDArray[np.bool_], " validation"]:
        """Whether a validation user had many items, of which a share is held out."""
        count = np.diff(self.kept.indptr) + np.diff(self.held_out.indptr)
        return count[self.users] >= MANY


def split_by(
    mask: Bool[NDArray[np.bool_], " pairs"], graph: HeteroGraph, evidence: sp.csr_matrix
) -> ValidationSplit:
    """Hold out the stored entries of the evidence where `mask` is true."""
    held_out = entries(evidence, mask)
    users = np.flatnonzero(np.diff(held_out.indptr))
    left = without_pairs(graph, held_out)
    return ValidationSplit(users, left, entries(evidence, ~mask), held_out)


def held_out_mask(
    graph: HeteroGraph, evidence: sp.csr_matrix, options: BlendOptions, seed: int
) -> Bool[NDArray[np.bool_], " pairs"]:
    """Whether each stored entry of the evidence is held out. A grown graph loses mostly the same.

    Args:
        graph: nodes and relationships.
        evidence: weights of all users, [users, items].
        options: share, number of users, and which of their items.
        seed: decides which.

    Returns:
        All False where nobody has enough items for a held-out part.
    """
    return hold_out_again(
        evidence, id_numbers(graph.users), id_numbers(graph.items), options.held_out_share,
        most_users=options.validation_users, seed=seed,
        times=pair_times(graph) if options.hold_out == "latest" else None,
    )  # fmt: skip


def all_evidence(
    graph: HeteroGraph,
    items: sp.csr_matrix,
    users: Int64[NDArray[np.int64], " n"] | None = None,
) -> EvidenceMatrices:
    """All that is known of users: the items that are given, when they were, follows, preferences.

    Args:
        graph: nodes and relationships.
        items: evidence of everybody, [users, items].
        users: of whom; of everybody unless given.
    """
    n, did = len(graph.users), graph.interactions
    own = did if users is None else did.take(np.isin(did.user_index, users))
    evidence: EvidenceMatrices = {
        "item": items,
        "since": since_matrix(replace(graph, interactions=own)),
        "user": graph.follows.matrix(n, n, weighted=False),
        "category": graph.prefers.matrix(n, len(graph.categories)),
    }
    return evidence if users is None else of_users(evidence, users)
