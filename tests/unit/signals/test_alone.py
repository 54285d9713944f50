"""What each of many evidence nodes adds by itself, against what is said of a few."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import IdMap
from recsvc.evidence import EvidenceRows
from recsvc.signals.base import Signal
from recsvc.signals.content import ContentSignal
from recsvc.signals.dense import DenseSignal
from recsvc.signals.embedding import EmbeddingSignal
from recsvc.signals.rows import RowSignal

N = 9
IDS = IdMap([f"i{n}" for n in range(N)])


def _vectors(rng: np.random.Generator) -> np.ndarray:
    return rng.normal(size=(N, 4)).astype(np.float32)


def _rows(rng: np.random.Generator) -> Signal:
    values = rng.normal(size=(N, N)) * (rng.random((N, N)) < 0.4)
    return RowSignal("rows", "item", IDS, sp.csr_matrix(values.astype(np.float32)))


def _content(rng: np.random.Generator) -> Signal:
    whole = ContentSignal("content", IDS, _vectors(rng), _vectors(rng))
    return whole.shared(rng.uniform(0.1, 1.0, N).astype(np.float32))


SIGNALS: dict[str, Callable[[np.random.Generator], Signal]] = {
    "rows": _rows,
    "content": _content,
    "embedding": lambda rng: EmbeddingSignal("mf", IDS, _vectors(rng), _vectors(rng)),
    "dense": lambda rng: DenseSignal("d", IDS, rng.normal(size=(N, N)).astype(np.float32)),
}


def evidence(rows: list[int], weights: list[float]) -> EvidenceRows:
    return EvidenceRows(np.arange(len(rows)), np.array(rows), np.array(weights))


@pytest.mark.parametrize("name", SIGNALS)
def test_what_a_node_adds_alone(name: str) -> None:
    signal = SIGNALS[name](np.random.default_rng(3))
    nodes, others = [7, 0, 4], evidence([1, 0, 8], [0.5, -2.0, 1.0])
    items = np.array([5, 2, 7, 0])
    told = signal.alone(items, signal.raw_scores(others).astype(np.float64))
    alone = told(np.array(nodes), 3)
    terms = signal.terms(evidence(nodes, [1.0] * 3), items)
    np.testing.assert_allclose(alone.terms, terms[:, :3], rtol=1e-6)
    together = evidence(nodes + others.row.tolist(), [1.0] * 3 + others.weight.tolist())
    products = signal.inner_products(together)
    np.testing.assert_allclose(alone.square, np.diag(products)[:3], rtol=1e-5)
    np.testing.assert_allclose(alone.towards, products[:3, 3:].sum(axis=1), rtol=1e-4, atol=1e-5)
