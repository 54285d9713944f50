"""What came out of an experiment, from sums over users."""

from collections.abc import Mapping
from dataclasses import dataclass

from recsvc.experiments.document import Experiment
from recsvc.experiments.sequential import (
    MISMATCH_LEVEL,
    Difference,
    UserSums,
    difference,
    sample_ratio_p_value,
)

NOBODY = UserSums(0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, slots=True)
class VariantResult:
    """What came out of one variant.

    Attributes:
        variant: its name.
        users: to whom something was shown.
        shown: how many items.
        followed: for how many of these an outcome of the kind followed.
        rate: followed / shown.
        difference: of the rate to that of the first variant; None for the first itself, and
            before enough users have an outcome.
    """

    variant: str
    users: int
    shown: int
    followed: int
    rate: float
    difference: Difference | None


@dataclass(frozen=True, slots=True)
class Results:
    """What came out of an experiment, or of a part of its users.

    Attributes:
        variants: in the order of the document.
        sample_ratio_p_value: see the function of this name.
        mismatch: whether users came to the variants so unlike their shares that the rates must
            not be compared.
    """

    variants: tuple[VariantResult, ...]
    sample_ratio_p_value: float
    mismatch: bool


def results(experiment: Experiment, sums: Mapping[str, UserSums]) -> Results:
    """What came out, by the sums of each variant."""
    control = sums.get(experiment.variants[0].name, NOBODY)
    compared: list[VariantResult] = []
    for number, variant in enumerate(experiment.variants):
        own = sums.get(variant.name, NOBODY)
        apart = (
            difference(
                control, own, effect=experiment.effect, comparisons=len(experiment.variants) - 1
            )
            if number
            else None
        )
        compared.append(
            VariantResult(
                variant.name, own.users, int(own.shown), int(own.followed), own.rate, apart
            )
        )
    shares = {variant.name: variant.share for variant in experiment.variants}
    users = {name: sums[name].users for name in shares if name in sums}
    p_value = sample_ratio_p_value(users, shares)
    return Results(tuple(compared), p_value, p_value < MISMATCH_LEVEL)
