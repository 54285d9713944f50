"""What items are is known in the state of the graph that they were read in, and in no other."""

from recsvc.graph import known_items
from recsvc.graph.known_items import KnownItems
from recsvc.graph.rows import UNKNOWN, LiveItem, State

ONE, TWO = State({"one"}), State({"two"})


def live(title: str) -> LiveItem:
    return LiveItem(title=title, available=True)


def test_items_are_known_in_the_state_they_were_read_in() -> None:
    known = KnownItems()
    known.keep(ONE, ["a", "gone"], {"a": live("A")})
    assert known.of(ONE) == {"a": live("A"), "gone": None}
    assert known.of(TWO) == {}
    known.keep(ONE, ["b"], {"b": live("B")})
    assert set(known.of(ONE)) == {"a", "gone", "b"}
    known.keep(TWO, ["a"], {"a": live("new")})
    assert known.of(TWO) == {"a": live("new")}
    assert known.of(ONE) == {}


def test_of_a_read_without_a_bookmark_nothing_is_known() -> None:
    assert KnownItems().of(UNKNOWN) == {}


def test_no_more_are_kept_than_a_number(monkeypatch) -> None:
    monkeypatch.setattr(known_items, "_MOST", 2)
    known = KnownItems()
    known.keep(ONE, ["a", "b"], {})
    known.keep(ONE, ["c"], {})
    assert set(known.of(ONE)) == {"c"}
