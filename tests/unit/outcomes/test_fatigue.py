import pytest

from recsvc.outcomes.fatigue import Shown, shown_items


def test_an_item_loses_by_how_often_it_was_shown_lately_and_not_by_how_often_ever() -> None:
    """Three times, of which one was just now and the others a half-life and two ago."""
    lately = 1.0 + 0.5 + 0.25
    shown = shown_items({"a": (3, lately), "b": (1, 1.0), "c": (2, 0.0)}, fatigue=0.8)
    assert shown == {
        "a": Shown(3, pytest.approx(0.8 * (1 - 2**-1.75))),
        "b": Shown(1, pytest.approx(0.4)),
        "c": Shown(2, 0.0),
    }
