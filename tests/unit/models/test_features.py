"""Numbers of a like size, whatever somebody wrote."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.errors import TrainingError
from recsvc.models._features import (
    count_features,
    interaction_features,
    item_features,
    standardised,
)
from recsvc.models.base import TrainingData

NAN = np.nan


def test_a_number_goes_through_a_logarithm_and_what_is_missing_is_0_and_said() -> None:
    found = standardised(np.array([[0.0], [NAN], [np.e**2 - 1], [-(np.e**2) + 1]], np.float32))
    deviation = np.sqrt(8 / 3)
    np.testing.assert_allclose(found[:, 0], [0, 0, 2 / deviation, -2 / deviation], atol=1e-6)
    assert found[:, 1].tolist() == [0, 1, 0, 0]


def test_features_are_bounded() -> None:
    values = np.zeros((10_000, 1), np.float32)
    values[7] = 1e9
    found = standardised(values)
    assert found[7, 0] == 5.0
    assert np.abs(found).max() == 5.0


@pytest.mark.parametrize("values", [np.full((3, 1), 4.0), np.full((3, 1), NAN), np.empty((0, 1))])
def test_what_tells_nothing_apart_is_0(values: np.ndarray) -> None:
    assert not standardised(values.astype(np.float32))[:, 0].any()


def test_a_vector_keeps_its_directions() -> None:
    values = np.array([[1, 0, 4], [3, 0, 8], [NAN, 0, 6]], np.float32)
    found = standardised(values)
    np.testing.assert_allclose(found, [[-1, 0, -1, 0], [1, 0, 1, 0], [0, 0, 0, 1]], atol=1e-6)


def test_counts_tell_nothing_of_what_is_linked_with_nothing() -> None:
    found = count_features(np.array([0, 1, 5, 0, 100]))
    assert found.shape == (5, 1)
    assert found[:, 0][[0, 3]].tolist() == [0, 0]
    assert found[4, 0] > found[2, 0] > found[1, 0]


def made(votes: list[float]) -> TrainingData:
    """u0 viewed and bought i1; u1 viewed i0; what u1 did with i2 speaks against it."""
    interactions = Interactions(
        np.array([0, 0, 1, 1]), np.array([1, 1, 0, 2]), np.array([0, 1, 1, 1], np.int8),
        np.array([1.0, 2.0, 1.0, -1.0]), np.array([50.0, 10.0, NAN, 5.0]), ("buy", "view"),
        {"votes": np.array(votes, np.float32)[:, None]},
    )  # fmt: skip
    graph = HeteroGraph(IdMap(["u0", "u1"]), IdMap(["i0", "i1", "i2"]), IdMap([]), interactions)
    return TrainingData(graph, sp.csr_matrix(np.array([[0, 3, 0], [1, 0, 0]], np.float32)))


def test_a_pair_has_the_mean_of_its_properties_and_its_newest_time() -> None:
    found = interaction_features(made([np.e - 1, np.e - 1, NAN, 9.0]), ("votes",))
    assert found.shape == (2, 6)
    assert found[:, 1].tolist() == [0, 0]  # weights are known
    assert found[0, 0] > found[1, 0]
    assert found[:, 3].tolist() == [0, 1]  # the time of u1's is not
    assert found[:, 5].tolist() == [0, 1]
    several = interaction_features(made([1.0, 3.0, 2.0, 9.0]), ("votes",))
    np.testing.assert_allclose(several[:, 4:], 0.0, atol=1e-6)  # the mean of 1 and 3 is 2


def test_entries_are_found_however_the_evidence_is_stored() -> None:
    data = made([5.0, 5.0, 1.0, 9.0])
    turned = data.evidence[:, ::-1].tocsr()[:, ::-1].tocsr()
    same = interaction_features(replace(data, evidence=turned), ("votes",))
    np.testing.assert_array_equal(same, interaction_features(data, ("votes",)))


def test_a_property_that_nothing_has_is_named() -> None:
    with pytest.raises(TrainingError, match=r"no interaction has a number as its property 'vots'"):
        interaction_features(made([1, 1, 1, 1]), ("vots",))
    with pytest.raises(TrainingError, match=r"leave it out of interaction_properties"):
        interaction_features(made([NAN] * 4), ("votes",))
    with pytest.raises(TrainingError, match=r"no item has .* 'price': .* item_properties"):
        item_features(made([1, 1, 1, 1]), ("price",))
