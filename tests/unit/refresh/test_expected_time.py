import pytest

from recsvc.refresh.expected_time import expected_seconds, in_words
from recsvc.refresh.options import RefreshOptions

DEFAULTS = RefreshOptions().models


@pytest.mark.parametrize(
    ("pairs", "users_and_items", "measured"),
    [(92_834, 19_524, 68.0), (490_000, 15_000, 70.3), (4_900_000, 150_000, 743.8)],
)
def test_what_was_measured_is_expected_within_a_quarter(
    pairs: int, users_and_items: int, measured: float
) -> None:
    """Figures of docs/performance.md, less the ingest, and of a refresh of Last.fm."""
    assert expected_seconds(DEFAULTS, pairs, users_and_items) == pytest.approx(measured, rel=0.25)


def test_the_dearest_model_and_those_not_measured_are_named() -> None:
    assert in_words(DEFAULTS, 4_900_000, 150_000) == (
        "about 13 min expected on two cores, 38% of it for lightgcn"
    )
    assert in_words(("mf", "ridge"), 1000, 200) == (
        "about 10 s expected on two cores; mf not counted"
    )


def test_a_fine_tuned_refresh_takes_a_part_of_that() -> None:
    """On Last.fm the steps that are left were measured as some 20 seconds."""
    assert in_words(DEFAULTS, 92_834, 19_914, tuned=True) == "about 20 s expected on two cores"
    scratch, tuned = (expected_seconds(DEFAULTS, 92_834, 19_914, tuned=t) for t in (False, True))
    assert 2.5 < scratch / tuned < 4.0
