import stat
import threading
from base64 import urlsafe_b64decode, urlsafe_b64encode
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsvc.errors import RecommendationIdError, SettingsError
from recsvc.outcomes.recommendation_id import (
    MAX_ID_CHARACTERS,
    MAX_PLACES,
    Origin,
    RecommendationIds,
    contents_of,
    kept_secret,
    stored_feature,
)

IDS = RecommendationIds(bytes(32))
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=512)
NAME = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=100)
ORIGINS = st.builds(
    Origin,
    st.integers(0, 2**31),
    st.none() | TEXT,
    st.none() | NAME,
    st.none() | st.integers(1, 2**31),
    st.none() | NAME,
    st.none() | st.integers(1, 2**31),
    st.none() | NAME,
    st.dictionaries(st.integers(1, 5), st.floats(0.001, 0.999), max_size=5),
    st.dictionaries(
        st.integers(1, 5),
        st.fixed_dictionaries({name: st.floats(-9e4, 9e4).map(stored_feature) for name in "ab"}),
        max_size=5,
    ),
)
ITEMS = st.lists(TEXT, min_size=5, max_size=8, unique=True)


@given(ORIGINS, ITEMS)
def test_an_id_tells_what_it_was_made_of(origin: Origin, items: list[str]) -> None:
    read = IDS.read(IDS.issue(IDS.contents(origin, items)))
    assert read.origin == origin
    places = [IDS.place(read, item) for item in items]
    same = [IDS.place(read, item, place) for place, item in enumerate(items, start=1)]
    assert same == list(range(1, len(items) + 1))
    assert all(read.fingerprints[p - 1] == read.fingerprints[n] for n, p in enumerate(places))


def most_tried(user_id: str, name: str, signals: int) -> Origin:
    """Half of 100 places try something out, each with a chance of its own."""
    names = [f"a signal with a long name {number}" for number in range(signals)]
    places = range(1, MAX_PLACES + 1, 2)
    return Origin(
        2**31, user_id, name * 100, 2**31, name * 100, 2**31, "v" * 100,
        {place: 0.5 / place if place % 2 else 0.5 for place in range(1, MAX_PLACES + 1)},
        {place: {name: stored_feature(1 / (place + 3)) for name in names} for place in places},
    )  # fmt: skip


@pytest.mark.parametrize("user_id", ["\U0001f600" * 512, "\u4e2d" * 512, "\x01" * 512])
def test_the_longest_id_of_20_signals_tells_all(user_id: str) -> None:
    origin = most_tried(user_id, "s", 20)
    made = IDS.issue(IDS.contents(origin, [f"i{n}" for n in range(500)]))
    assert len(made) <= MAX_ID_CHARACTERS
    assert IDS.read(made).origin == origin


@pytest.mark.parametrize(("name", "signals"), [("\x01", 20), ("\U0001f600", 60), ("s", 1_000)])
def test_an_id_leaves_out_what_it_has_no_room_for(name: str, signals: int) -> None:
    origin = most_tried("\U0001f600" * 512, name, signals)
    made = IDS.issue(IDS.contents(origin, [f"i{n}" for n in range(500)]))
    assert len(made) <= MAX_ID_CHARACTERS
    read = IDS.read(made).origin
    assert replace(read, tried={}) == replace(origin, tried={})
    assert [*read.tried] == [*origin.tried]
    told = [place for place, known in read.tried.items() if known]
    assert told == [*origin.tried][: len(told)]
    assert all(read.tried[place] == origin.tried[place] for place in told)
    assert bool(told) == (signals < 1_000)
    # No more is left out than has to be.
    assert not told or len(made) > MAX_ID_CHARACTERS - 3 * signals


@pytest.mark.parametrize("value", [0.0, 0.1, -0.0312, 12.3, 65504.0])
def test_what_is_known_is_kept_to_three_digits(value: float) -> None:
    assert stored_feature(value) == pytest.approx(value, rel=1e-3)
    assert stored_feature(stored_feature(value)) == stored_feature(value)
    assert abs(stored_feature(value * 1e9)) <= 65504.0


def test_each_answer_has_an_id_of_its_own() -> None:
    contents = IDS.contents(Origin(3, "2"), ["a", "b"])
    one, two = IDS.issue(contents), IDS.issue(contents)
    assert contents_of(one) == contents_of(two) == contents
    assert IDS.read(one).name != IDS.read(two).name


@pytest.mark.parametrize("text", ["", "x", "AAAA", "é" * 40, "=" * 40, "A" * 5000, "A B-C", "AQ=="])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(RecommendationIdError, match="expected a recommendation_id"):
        IDS.read(text)


def test_an_id_that_was_changed_is_refused() -> None:
    made = IDS.issue(IDS.contents(Origin(3, "2"), ["a", "b"]))
    whole = urlsafe_b64decode(made + "=" * (-len(made) % 4))
    for place in range(len(whole)):
        forged = bytearray(whole)
        forged[place] ^= 1
        with pytest.raises(RecommendationIdError):
            IDS.read(urlsafe_b64encode(bytes(forged)).rstrip(b"=").decode())
    for other in (made[:-1], made + "A", made + "=", made + "\n", made.swapcase()):
        with pytest.raises(RecommendationIdError):
            IDS.read(other)


def test_an_id_of_another_instance_is_refused() -> None:
    made = IDS.issue(IDS.contents(Origin(3, "2"), ["a"]))
    with pytest.raises(RecommendationIdError, match="another service"):
        RecommendationIds().read(made)


def test_an_item_that_was_not_there_or_not_at_that_place_is_refused() -> None:
    read = IDS.read(IDS.issue(IDS.contents(Origin(3), [f"i{n}" for n in range(150)])))
    assert IDS.place(read, "i99") == 100
    with pytest.raises(RecommendationIdError, match="'i100' is not among its 100 first"):
        IDS.place(read, "i100")
    with pytest.raises(RecommendationIdError, match="in this answer, 8, or none: came 7"):
        IDS.place(read, "i7", 7)
    with pytest.raises(RecommendationIdError, match="came 200"):
        IDS.place(read, "i7", 200)


def test_a_secret_is_made_once_for_all_and_for_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "home" / "recommendation_ids"
    made: list[bytes] = []
    threads = [threading.Thread(target=lambda: made.append(kept_secret(path))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 8
    assert {len(each) for each in made} == {32}
    assert set(made) == {path.read_bytes()}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_without_a_secret_is_said(tmp_path: Path) -> None:
    path = tmp_path / "recommendation_ids"
    path.write_bytes(b"short")
    with pytest.raises(SettingsError, match="holds 5 bytes, expected at least 16"):
        kept_secret(path)
