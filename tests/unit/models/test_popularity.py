import time

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.models import FitRun, TrainingData
from recsvc.models.popularity import PopularityOptions, fit

DAY = 86_400.0


def data(pairs: list[tuple[int, int, int, float]], evidence: np.ndarray) -> TrainingData:
    """Interactions (user, item, event, time) beside the evidence made of them."""
    user, item, event, last_at = map(np.array, zip(*pairs, strict=True))
    did = Interactions(
        user.astype(np.int64),
        item.astype(np.int64),
        event.astype(np.int8),
        np.ones(len(pairs), np.float32),
        last_at.astype(np.float64),
        ("play", "like"),
    )
    users, items = evidence.shape
    graph = HeteroGraph(
        IdMap([f"u{row}" for row in range(users)]),
        IdMap([f"i{row}" for row in range(items)]),
        IdMap([]),
        did,
    )
    return TrainingData(graph, sp.csr_matrix(evidence, dtype=np.float32))


def prior(training: TrainingData, half_life_days: float | None) -> np.ndarray:
    model, _ = fit(training, PopularityOptions(half_life_days=half_life_days), FitRun(seed=0))
    return model.prior


EVIDENCE = np.array([[4.0, 1.0, 0.0], [2.0, 0.0, 3.0]])
PAIRS = [
    (0, 0, 0, 0.0),  # ten days before the newest
    (0, 1, 0, 10 * DAY),
    (1, 0, 0, 5 * DAY),
    (1, 2, 0, np.nan),
]


def test_what_is_a_half_life_old_counts_half() -> None:
    found = prior(data(PAIRS, EVIDENCE), 5.0)
    np.testing.assert_allclose(found, [4.0 / 4 + 2.0 / 2, 1.0, 3.0], rtol=1e-6)


def test_an_event_in_the_future_counts_as_now_and_leaves_the_others_theirs() -> None:
    """From a day in 2090 back everything of today would be nothing."""
    now = time.time()
    pairs = [(0, 0, 0, now + 70 * 365 * DAY), (0, 1, 0, now - 5 * DAY), (1, 2, 0, now - 10 * DAY)]
    evidence = np.array([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    np.testing.assert_allclose(prior(data(pairs, evidence), 5.0), [1.0, 0.5, 0.25], rtol=1e-4)


def test_without_a_half_life_age_does_not_count() -> None:
    np.testing.assert_array_equal(prior(data(PAIRS, EVIDENCE), None), [6.0, 1.0, 3.0])


def test_the_newest_event_of_a_pair_says_how_old_it_is() -> None:
    pairs = [*PAIRS, (0, 0, 1, 10 * DAY), (1, 2, 1, 0.0)]
    found = prior(data(pairs, EVIDENCE), 5.0)
    np.testing.assert_allclose(found, [4.0 + 1.0, 1.0, 3.0 / 4], rtol=1e-6)


def test_an_interaction_that_is_no_evidence_does_not_say_what_is_newest() -> None:
    pairs = [*PAIRS, (0, 2, 0, 1000 * DAY)]
    np.testing.assert_allclose(prior(data(pairs, EVIDENCE), 5.0), [2.0, 1.0, 3.0], rtol=1e-6)


def test_no_known_time_is_no_decay() -> None:
    pairs = [(user, item, event, np.nan) for user, item, event, _ in PAIRS]
    np.testing.assert_array_equal(prior(data(pairs, EVIDENCE), 5.0), [6.0, 1.0, 3.0])


def test_the_evidence_is_left_as_it_was() -> None:
    training = data(PAIRS, EVIDENCE)
    prior(training, 5.0)
    np.testing.assert_array_equal(training.evidence.toarray(), EVIDENCE)


@pytest.mark.parametrize("days", [0.0, -1.0])
def test_a_half_life_is_above_zero(days: float) -> None:
    with pytest.raises(ValueError, match="half_life_days"):
        PopularityOptions(half_life_days=days)
