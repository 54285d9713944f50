"""Likeness of what items say of themselves: planted descriptions, and items that nobody had."""

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.errors import TrainingError
from recsvc.evidence import EvidenceRows
from recsvc.models import FitRun, TrainingData
from recsvc.models.content import ContentModel, ContentOptions, fit
from recsvc.signals import ContentSignal, EmbeddingSignal
from recsvc.signals.content import share_of

ITEMS = 6
EVIDENCE = sp.csr_matrix(np.array([[2, 1, 0, 0, 0, 0], [0, 0, 1, 0, 0, 0]], np.float32))


def data(vectors: np.ndarray | None, users: np.ndarray | None = None) -> TrainingData:
    content = {} if vectors is None else {"Item": vectors.astype(np.float32)}
    if users is not None:
        content["User"] = users.astype(np.float32)
    graph = HeteroGraph(
        IdMap(["u0", "u1"]), IdMap([f"i{n}" for n in range(ITEMS)]), IdMap([]),
        Interactions.empty(), content=content,
    )  # fmt: skip
    return TrainingData(graph, EVIDENCE)


def vectors() -> np.ndarray:
    """Items 0 and 3 say the same, and so do 2 and 4; item 5 says nothing. Nobody has 3, 4 and 5."""
    directions = np.eye(3)[[0, 1, 2, 0, 2, 0]]
    directions[5] = 0.0
    return directions


def fitted() -> ContentModel:
    options = ContentOptions(whitening=0.0)
    return fit(data(vectors()), options, FitRun(seed=0))[0]


def test_an_item_that_nobody_had_and_that_says_the_same_ranks_first() -> None:
    scores = fitted().scores(np.arange(2), EVIDENCE)
    np.testing.assert_allclose(scores, [[2, 1, 0, 2, 0, 0], [0, 0, 1, 0, 1, 0]], atol=1e-5)
    unseen = np.where(EVIDENCE.toarray() > 0, -np.inf, scores)
    np.testing.assert_array_equal(unseen.argmax(axis=1), [3, 4])


def test_main_directions_keep_the_cosines_of_vectors_of_low_rank() -> None:
    generator = np.random.default_rng(0)
    wide = generator.normal(size=(ITEMS, 2)) @ generator.normal(size=(2, 40))
    wide /= np.linalg.norm(wide, axis=1, keepdims=True)
    options = ContentOptions(dimensions=2, whitening=0.0)
    model, report = fit(data(wide), options, FitRun(seed=0))
    assert model.item_vectors.shape == (ITEMS, 2)
    alike = model.item_vectors @ model.source_vectors.T
    np.testing.assert_allclose(alike, wide @ wide.T, atol=1e-5)
    assert report.memory_bytes >= 4 * wide.size


def test_whitening_lets_what_differs_less_count_too() -> None:
    """Items differ much in one direction and little in another, which tells 0 and 1 apart."""
    told = np.array([[1, 0.1], [1, -0.1], [1, 0.1], [-1, 0.1], [-1, -0.1], [-1, -0.1]])
    told /= np.linalg.norm(told, axis=1, keepdims=True)

    def alike(whitening: float) -> np.ndarray:
        options = ContentOptions(whitening=whitening)
        vectors = fit(data(told), options, FitRun(seed=0))[0].item_vectors
        np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1.0, rtol=1e-5)
        return vectors @ vectors[0]

    assert alike(0.0)[1] > 0.9
    np.testing.assert_allclose(alike(0.5)[[0, 1, 2, 4]], [1, 0, 1, -1], atol=0.1)


def test_the_text_of_a_user_moves_their_vector_alone() -> None:
    users = np.eye(3)[[1, 2]]
    options = ContentOptions(whitening=0.0)
    with_text, _ = fit(data(vectors(), users), options, FitRun(seed=0))
    without = fitted()
    np.testing.assert_allclose(np.linalg.norm(with_text.user_vectors, axis=1), 1.0, rtol=1e-6)
    said = without.item_vectors[1]  # as the user's own text
    assert with_text.user_vectors[0] @ said > without.user_vectors[0] @ said + 0.1
    np.testing.assert_array_equal(with_text.user_vectors[1], without.user_vectors[1])
    np.testing.assert_array_equal(with_text.item_vectors, without.item_vectors)


def test_a_graph_without_vectors_is_refused() -> None:
    with pytest.raises(TrainingError, match=r"Name properties of items .* \[models.content\]"):
        fit(data(None), ContentOptions(), FitRun(seed=0))


def test_options_that_name_no_property_or_half_an_image_are_refused() -> None:
    options = ContentOptions.model_validate
    with pytest.raises(ValueError, match="name a property to encode"):
        options({"items": "", "categories": ""})
    with pytest.raises(ValueError, match="without image_folder and image_encoder"):
        options({"images": "picture"})
    with pytest.raises(ValueError, match="is no name of a property"):
        options({"items": "a\\u0060b"})
    assert options({"items": "title,text"}).items == ("title", "text")


def test_shares_change_what_counts_and_not_the_scale() -> None:
    whole = fitted().signal(IdMap([f"i{n}" for n in range(ITEMS)]))
    assert isinstance(whole, ContentSignal)
    people = np.array([100, 9, 1, 0, 0, 0])
    share = share_of(people, 0.1)
    np.testing.assert_allclose(share, [0.1 + 0.9 / 101, 0.19, 0.55, 1.0, 1.0, 1.0], rtol=1e-6)
    shared = whole.shared(share)
    rows = EvidenceRows(np.arange(2), np.array([0, 2]), np.array([2.0, 1.0]))
    np.testing.assert_allclose(shared.raw_scores(rows), whole.raw_scores(rows) * share, rtol=1e-6)
    assert shared.mean_square(rows) == pytest.approx(whole.mean_square(rows))
    batch = shared.batch_scores(EVIDENCE)
    np.testing.assert_allclose(shared.unshared(batch), whole.batch_scores(EVIDENCE), rtol=1e-5)
    np.testing.assert_allclose(shared.inner_products(rows), whole.inner_products(rows), rtol=1e-6)
    assert shared.moments(rows).whole == pytest.approx(whole.moments(rows).whole)
    again = shared.shared(np.ones(ITEMS, np.float32))
    np.testing.assert_allclose(again.target, whole.target, rtol=1e-6)
    assert shared.terms(rows, np.array([3]))[0, 0] == pytest.approx(2.0)


def test_a_signal_of_content_is_stored_and_says_nothing_of_items_it_does_not_know() -> None:
    items = IdMap([f"i{n}" for n in range(ITEMS)])
    signal = fitted().signal(items).shared(share_of(np.array([9, 9, 9, 0, 0, 0]), 0.5))
    stored = ContentSignal.from_arrays("content", "item", items, signal.arrays(), {})
    np.testing.assert_array_equal(stored.target, signal.target)
    np.testing.assert_array_equal(stored.gram, signal.gram)
    more = IdMap(["i0", "i3", "new"])
    wider = signal.reindexed(more, np.array([0, 3, -1]), np.array([0, 3, -1]))
    rows = EvidenceRows(np.arange(1), np.array([0]), np.array([1.0]))
    np.testing.assert_allclose(wider.raw_scores(rows), [0.55, 1.0, 0.0], rtol=1e-6)
    assert not wider.not_finite()
    assert np.isfinite(wider.mean_square(rows))


def test_new_items_keep_their_own_vector_and_alike_ones_are_no_collapse() -> None:
    signal = fitted().signal(IdMap([f"i{n}" for n in range(ITEMS)]))
    assert not signal.by_two_steps
    assert not signal.of_people
    assert signal.collapsed(np.ones(ITEMS, bool)) == []
    learned = EmbeddingSignal("mf", signal.ids, signal.source, signal.target)
    assert learned.by_two_steps
    assert learned.of_people
