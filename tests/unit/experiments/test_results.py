from recsvc.experiments.document import Experiment, Variant
from recsvc.experiments.results import results
from recsvc.experiments.sequential import LEVEL, UserSums, difference

EXPERIMENT = Experiment(
    variants=[Variant(name=name, share=0.25) for name in ("a", "b", "c", "d")], effect=0.2
)
A = UserSums.of([10.0] * 1_000, [1.0] * 300 + [0.0] * 700)
B = UserSums.of([10.0] * 1_000, [1.0] * 500 + [0.0] * 500)


def test_each_variant_is_compared_with_the_first_at_its_part_of_the_level() -> None:
    compared = results(EXPERIMENT, {"a": A, "b": B, "c": A, "d": A})
    assert [each.variant for each in compared.variants] == ["a", "b", "c", "d"]
    first, better, same, _ = compared.variants
    assert (first.users, first.shown, first.followed, first.rate) == (1_000, 10_000, 300, 0.03)
    assert first.difference is None
    assert better.difference == difference(A, B, effect=0.2, comparisons=3)
    assert better.difference is not None
    assert better.difference.p_value < LEVEL
    assert same.difference is not None
    assert same.difference.low < 0.0 < same.difference.high
    assert not compared.mismatch


def test_users_that_do_not_come_are_a_mismatch_and_a_variant_without_any_has_no_difference() -> (
    None
):
    found = results(EXPERIMENT, {"a": A, "b": B})
    assert found.mismatch
    assert [each.users for each in found.variants] == [1_000, 1_000, 0, 0]
    assert found.variants[3].difference is None
    assert not results(EXPERIMENT, {}).mismatch
