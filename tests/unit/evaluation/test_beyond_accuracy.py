"""Diversity of lists: by hand, and against the pairs one by one."""

from itertools import combinations

import numpy as np
import pytest
import scipy.sparse as sp

from recsvc.evaluation import beyond_accuracy
from recsvc.evaluation.beyond_accuracy import diversity


def owned(*users: list[int], items: int) -> sp.csr_matrix:
    matrix = np.zeros((len(users), items), np.float32)
    for user, had in enumerate(users):
        matrix[user, had] = 0.5 + user
    return sp.csr_matrix(matrix)


def test_the_same_people_are_no_diversity_and_nobody_in_common_is_all() -> None:
    train = owned([0, 1], [0, 1, 2], [3], items=5)
    lists = np.array([[0, 1, -1], [0, 3, 4], [0, 2, 1], [3, -1, -1], [-1, -1, -1]])
    found = diversity(lists, train, cuts=(2, 3))
    assert found["diversity@2"] == pytest.approx([0.0, 1.0, 1 - 1 / np.sqrt(2), 0.0, 0.0], abs=1e-6)
    mean = 1 - (1 + 2 / np.sqrt(2)) / 3
    assert found["diversity@3"] == pytest.approx([0.0, 1.0, mean, 0.0, 0.0], abs=1e-6)


def test_it_is_the_mean_over_pairs_in_parts_too(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    train = sp.csr_matrix((generator.random((40, 30)) < 0.2).astype(np.float32))
    lists = np.stack([generator.permutation(34)[:12] for _ in range(25)])  # 4 that nobody has
    lists[::3, 9:] = -1
    vectors = np.pad(train.toarray(), ((0, 0), (0, 4)))
    length = np.maximum(np.linalg.norm(vectors, axis=0), 1e-9)
    cosine = vectors.T @ vectors / np.outer(length, length)
    expected = [
        1 - np.mean([cosine[a, b] for a, b in combinations(listed[listed >= 0][:11], 2)])
        for listed in lists
    ]
    for values in (10_000_000, 100):
        monkeypatch.setattr(beyond_accuracy, "_CHUNK_VALUES", values)
        found = diversity(lists, train, cuts=(5, 11))
        assert found.keys() == {"diversity@5", "diversity@11"}
        assert found["diversity@11"] == pytest.approx(expected, abs=1e-6)
