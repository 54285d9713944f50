"""The nearest items by cosine: among all pairs, and by way of an index."""

import numpy as np
import pytest
from usearch.index import Index

from recsvc.signals import neighbours as module
from recsvc.signals.neighbours import nearest_items


@pytest.mark.parametrize("items", [2, 5, 40, 192, 333, 700])
@pytest.mark.parametrize("k", [1, 5])
def test_nearest_items_are_those_of_the_largest_cosines(items: int, k: int) -> None:
    """Also where groups of columns leave a rest, and where some have no vector."""
    vectors = np.random.default_rng(items).normal(size=(items, 6)).astype(np.float32)
    vectors[3::7] = 0.0
    neighbours, scores = nearest_items(vectors, k, chunk=100)
    wide = vectors.astype(np.float64)
    length = np.linalg.norm(wide, axis=1)
    able = np.flatnonzero(length)
    for row in range(items):
        others = able[able != row] if length[row] else able[:0]
        cosine = wide[others] @ wide[row] / (length[others] * max(length[row], 1e-9))
        order = np.argsort(-cosine, kind="stable")[:k]
        expected = np.full(neighbours.shape[1], -1)
        expected[: len(order)] = others[order][: len(expected)]
        np.testing.assert_array_equal(neighbours[row], expected)
        found = scores[row, : len(order)]
        np.testing.assert_allclose(found, cosine[order][: len(found)], rtol=1e-4, atol=1e-6)


def clustered(items: int) -> np.ndarray:
    """Forty clusters; every ninth item has no vector."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(40, 16))
    spread = generator.normal(scale=0.5, size=(items, 16))
    vectors = (centres[generator.integers(40, size=items)] + spread).astype(np.float32)
    vectors[::9] = 0.0
    return vectors


def test_an_index_finds_what_all_pairs_give(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = clustered(3000)
    expected, cosines = nearest_items(vectors, 10)
    monkeypatch.setattr(module, "_ALL_PAIRS", 100)
    told: list[int] = []
    nearest, scores = nearest_items(vectors, 10, told=told.append)
    again, _ = nearest_items(vectors, 10)
    np.testing.assert_array_equal(nearest, again)
    assert (nearest[::9] == -1).all()
    linked = np.arange(3000) % 9 != 0
    assert (nearest[linked] >= 0).all()
    assert linked[nearest[linked]].all()
    assert (nearest == expected).mean() > 0.99
    same = nearest == expected
    np.testing.assert_allclose(scores[same], cosines[same], atol=1e-5)
    assert (np.diff(scores[linked], axis=1) <= 0).all()
    assert told == sorted(told)


def test_an_index_of_vectors_that_are_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_ALL_PAIRS", 100)
    vectors = np.ones((500, 8), np.float32)
    found, scores = nearest_items(vectors, 5)
    rows = np.arange(500)[:, None]
    assert not (found == rows).any()
    np.testing.assert_allclose(scores[found >= 0], 1.0, rtol=1e-5)


def test_an_index_that_finds_fewer_than_were_asked_for() -> None:
    vectors = np.eye(3, 4, dtype=np.float32)
    index = Index(ndim=4, metric="ip", dtype="f32")
    index.add(np.arange(3), vectors)
    rows = np.arange(3)
    near = module._asked(index, vectors, rows, 8)
    assert near.shape == (3, 8)
    for row in rows:
        assert sorted(set(near[row].tolist())) == [0, 1, 2]
        assert np.count_nonzero(near[row] == row) == 6
