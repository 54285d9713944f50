"""The formulas of the graph filters on dense arrays, and what all of them must hold."""

import numpy as np
import scipy.sparse as sp

from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.evidence import EvidenceRows
from recsvc.models import FittedModel, TrainingData


def training_data(evidence: sp.csr_matrix) -> TrainingData:
    users, items = evidence.shape
    graph = HeteroGraph(
        IdMap([f"u{row:05}" for row in range(users)]),
        IdMap([f"i{row:05}" for row in range(items)]),
        IdMap([]),
        Interactions.empty(),
    )
    return TrainingData(graph, evidence)


def dense_power(degree: np.ndarray, exponent: float) -> np.ndarray:
    return np.array([d**exponent if d > 0 else 0.0 for d in degree])


def dense_normalised(evidence: np.ndarray, user: float, item: float) -> np.ndarray:
    """D_U^-user · E · D_I^-item."""
    return (
        np.diag(dense_power(evidence.sum(axis=1), -user))
        @ evidence
        @ np.diag(dense_power(evidence.sum(axis=0), -item))
    )


def low_pass(matrix: np.ndarray, rank: int) -> np.ndarray:
    """V Vᵀ of the largest singular values."""
    v = np.linalg.svd(matrix)[2][:rank].T
    return v @ v.T


def assert_kernel(model: FittedModel, expected: np.ndarray, evidence: sp.csr_matrix) -> None:
    """Scores, single scores and terms are those of a dense kernel K(j, i)."""
    users, items = evidence.shape
    wanted = evidence.toarray() @ expected
    tolerance = {"rtol": 1e-4, "atol": 1e-5}
    np.testing.assert_allclose(model.scores(np.arange(users), evidence), wanted, **tolerance)
    signal = model.signal(IdMap([f"i{row:05}" for row in range(items)]))
    np.testing.assert_allclose(signal.batch_scores(evidence), wanted, **tolerance)
    rows = np.array([7, 2, 11])
    own = EvidenceRows(np.arange(3), rows, np.array([0.5, -2.0, 1.0]))
    np.testing.assert_allclose(signal.raw_scores(own), own.weight @ expected[rows], **tolerance)
    some = np.array([1, 7, 20])
    terms = own.weight[:, None] * expected[np.ix_(rows, some)]
    np.testing.assert_allclose(signal.terms(own, some), terms, **tolerance)
