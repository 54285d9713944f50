"""What a refresh holds out: the same of every signal, whether it is fitted, computed or counted."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Int64
from numpy.typing import NDArray

from loaders.types import HeteroGraph
from recsvc.errors import RefreshError
from recsvc.evaluation.splits import entries, hold_out_again, id_numbers, without_pairs
from recsvc.evidence import EvidenceKind
from recsvc.refresh.parts import Run


@dataclass(frozen=True, slots=True, eq=False)
class ValidationSplit:
    """The one hold-out: every signal is made from what is left, and asked for the rest.

    Attributes:
        users: validation users.
        graph: the graph without what is held out.
        kept: everybody's evidence without it, [users, items].
        held_out: [users, items].
        mask: whether each stored entry of the evidence is held out.
    """

    users: Int64[NDArray[np.int64], " validation"]
    graph: HeteroGraph
    kept: sp.csr_matrix
    held_out: sp.csr_matrix
    mask: Bool[NDArray[np.bool_], " pairs"]


def made_split(
    graph: HeteroGraph, evidence: sp.csr_matrix, mask: Bool[NDArray[np.bool_], " pairs"]
) -> ValidationSplit:
    """Hold out the stored entries of the evidence where `mask` is true."""
    held_out = entries(evidence, mask)
    users = np.flatnonzero(np.diff(held_out.indptr))
    left = without_pairs(graph, held_out)
    return ValidationSplit(users, left, entries(evidence, ~mask), held_out, mask)


def validation_split(run: Run, graph: HeteroGraph, evidence: sp.csr_matrix) -> ValidationSplit:
    """What a refresh holds out. The next one takes mostly the same.

    Args:
        run: the refresh.
        graph: nodes and relationships.
        evidence: weights of all users, [users, items].

    Raises:
        RefreshError: nobody has enough items for a held-out part.
    """
    options = run.options
    mask = hold_out_again(
        evidence, id_numbers(graph.users), id_numbers(graph.items), options.held_out_share,
        most_users=options.validation_users, seed=options.seed,
    )  # fmt: skip
    if not mask.any():
        raise RefreshError(
            "no user has 5 items or more: the weights of the blend cannot be learned; "
            "ingest more interactions"
        )
    return made_split(graph, evidence, mask)


def all_evidence(
    graph: HeteroGraph,
    items: sp.csr_matrix,
    users: Int64[NDArray[np.int64], " n"] | None = None,
) -> dict[EvidenceKind, sp.csr_matrix]:
    """All that is known of users, by kind: the items that are given, follows, preferences.

    Args:
        graph: nodes and relationships.
        items: evidence of everybody, [users, items].
        users: of whom; of everybody unless given.
    """
    n = len(graph.users)
    found: dict[EvidenceKind, sp.csr_matrix] = {
        "item": items,
        "user": graph.follows.matrix(n, n, weighted=False),
        "category": graph.prefers.matrix(n, len(graph.categories)),
    }
    return found if users is None else {kind: own[users] for kind, own in found.items()}
