"""The gate: whether a new version may take the place of the active one. Pure; reads nothing."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool
from numpy.typing import NDArray

from recsvc.blend.parts import Validated
from recsvc.evaluation.groups import UserGroup
from recsvc.evaluation.metrics import Estimate, bootstrap
from recsvc.signals import Signal

_RESAMPLES = 2_000
LEAST_COMMON = 30
"""Validation users that two versions need to share for their metrics to be compared."""
_LEAST_GROUP = 20
"""Users of a group that is compared with the popular list."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """A new version beside the active one.

    Attributes:
        change: by how much its NDCG@20 is higher, with the 95% interval; None where there is
            nothing to compare on.
        how: on what, or why not, in words.
    """

    change: Estimate | None
    how: str


def difference(new: Validated, active: Validated) -> Comparison:
    """By how much the mean NDCG@20 is higher of the users who were asked for the same items.

    Each version was asked before it was fitted on what was held out. The difference is of pairs,
    and its interval by bootstrap; there is none where they share too few such users.
    """
    _, ours, theirs = np.intersect1d(new.user, active.user, return_indices=True)
    same = new.asked[ours] == active.asked[theirs]
    ours, theirs = ours[same], theirs[same]
    if len(ours) < LEAST_COMMON:
        said = f"{len(ours)} users were asked for the same items by both"
        return Comparison(None, f"{said}, {LEAST_COMMON} are needed")
    change = new.ndcg[ours] - active.ndcg[theirs]
    estimate = bootstrap({"ndcg": change}, _RESAMPLES, seed=0)["ndcg"]
    return Comparison(estimate, f"for {len(ours)} users who were asked for the same items by both")


def objections(
    signals: Sequence[Signal],
    known: Bool[NDArray[np.bool_], " items"],
    change: Estimate | None,
    *,
    least_coverage: float,
) -> tuple[str, ...]:
    """What speaks against making a version active; nothing where all is well.

    Args:
        signals: of the blend.
        known: the items that somebody did something with.
        change: by how much it is better than the active version; None where that is not known.
        least_coverage: share of the known items that every model with vectors and the blend as a
            whole have to say something about.
    """
    reasons = list(not_finite(signals))
    if not reasons and known.any():
        collapsed = [f"{s.name}: {reason}" for s in signals for reason in s.collapsed(known)]
        reasons = collapsed or _uncovered(signals, known, least_coverage)
    if change is not None and change.high < 0.0:
        reasons.append(
            f"NDCG@20 is worse than the active version's by {-change.mean:.4f} "
            f"(95% interval of the difference {change.low:.4f} to {change.high:.4f})"
        )
    return tuple(reasons)


def below_popularity(groups: Sequence[UserGroup]) -> dict[str, str]:
    """The groups of users whom the popular list serves significantly better, each in words.

    Args:
        groups: of the validation users; one of fewer than 20 says too little.
    """
    reasons: dict[str, str] = {}
    for group in groups:
        change = group.difference["ndcg@20"]
        if group.users >= _LEAST_GROUP and change.high < 0.0:
            reasons[group.group] = (
                f"the popular list is better by {-change.mean:.4f} in NDCG@20 for the "
                f"{group.users} validation users of whom {group.group} items are known "
                f"(95% interval of the difference {change.low:.4f} to {change.high:.4f})"
            )
    return reasons


def coverage(
    signals: Sequence[Signal], known: Bool[NDArray[np.bool_], " items"]
) -> dict[str, float]:
    """Share of the known items that every model with vectors, and `the blend`, gives some score.

    Vectors of what items say of themselves are no such model: an item may say nothing.

    Args:
        signals: of the blend.
        known: the items that somebody did something with; with none, there is nothing to tell.
    """
    if not known.any():
        return {}
    reached = {signal.name: signal.reached() for signal in signals}
    models = (signal for signal in signals if signal.item_vectors is not None and signal.of_people)
    wanted = {signal.name: reached[signal.name] for signal in models}
    wanted["the blend"] = np.logical_or.reduce([*reached.values(), np.zeros_like(known)])
    return {name: float(items[known].mean()) for name, items in wanted.items()}


def not_finite(signals: Sequence[Signal]) -> tuple[str, ...]:
    """The signals that hold NaN or an infinity, in words: those can be neither stored nor served.

    Raises:
        TypeError: a signal is of a class that cannot be stored.
    """
    return tuple(
        f"{signal.name}: a {row} holds NaN or an infinity"
        for signal in signals
        for row in signal.not_finite()
    )


def _uncovered(
    signals: Sequence[Signal], known: Bool[NDArray[np.bool_], " items"], least: float
) -> list[str]:
    return [
        f"{name}: covers {share:.1%} of the items that somebody did something with, expected "
        f"{least:.1%} or more"
        for name, share in coverage(signals, known).items()
        if share < least
    ]
