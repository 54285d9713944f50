from collections import Counter

import pytest

from recsvc.experiments.assignment import Assignment, assignment_hash

USERS = [f"user {n}" for n in range(20_000)]


def variants(shares: dict[str, float], experiment: str = "home") -> list[str | None]:
    assignment = Assignment.of(experiment, shares)
    return [assignment.variant(user) for user in USERS]


def test_the_hash_is_the_same_in_every_process_and_release() -> None:
    assert assignment_hash("home", "2") == 0x9C1B23BE8C202895
    assert assignment_hash("home", "é/☃") == 0x154FC507513510CE


def test_users_come_to_variants_by_their_shares_and_the_others_to_none() -> None:
    count = Counter(variants({"a": 0.5, "b": 0.2}))
    assert count.keys() == {"a", "b", None}
    for name, share in (("a", 0.5), ("b", 0.2), (None, 0.3)):
        assert abs(count[name] / len(USERS) - share) < 4 * (share * (1 - share) / len(USERS)) ** 0.5


def test_shares_are_taken_to_the_last_bit_as_the_decimals_they_are_written_as() -> None:
    ends = Assignment.of("e", {"a": 0.1, "b": 0.2, "c": 0.7}).ends
    assert ends == (2**64 // 10, 3 * 2**64 // 10, 2**64)


def test_a_variant_that_grows_loses_nobody() -> None:
    before, after = variants({"a": 0.9, "b": 0.1}), variants({"a": 0.5, "b": 0.5})
    moved = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert set(moved) == {("a", "b")}
    assert len(moved) / len(USERS) == pytest.approx(0.4, abs=0.02)


def test_experiments_do_not_know_of_each_other() -> None:
    halves = {"a": 0.5, "b": 0.5}
    pairs = Counter(zip(variants(halves), variants(halves, "item"), strict=True))
    assert len(pairs) == 4
    assert all(abs(count / len(USERS) - 0.25) < 0.015 for count in pairs.values())


@pytest.mark.parametrize(
    ("shares", "said"),
    [
        ({"a": 0.5, "b": 0.0}, "'b': expected a number above 0"),
        ({"a": 0.6, "b": 0.5}, r"1\.1 in sum"),
    ],
)
def test_shares_that_cannot_be_are_refused(shares: dict[str, float], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Assignment.of("e", shares)
