"""What another policy would have earned, estimated from what was shown by the one that ran.

The item-position model (Li, Abbasi-Yadkori, Kveton, Muthukrishnan, Vinay & Wen 2018, "Offline
evaluation of ranking policies with click models", §4.2): what follows an item at a place depends on
the asker, the item and the place, not on the other items. Each place of an answer has a weight,

    w = π(item, place | asker) / π_0(item, place | asker)

the chance of the item there under the policy asked about over that under the one that ran. Values
are sums over the places of an answer, as a mean over answers. The unit of the intervals is the
user: all answers of one user count as one draw.
"""

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

LEAST_PLACES: Final = 300.0
"""Places that count, below which an interval is not relied on."""
LEAST_WEIGHT: Final = 0.8
"""Mean weight of a place, below which the log does not show enough of what the other would."""

_Z95 = 1.959963984540054
_PRIOR = 5.0
"""Rewards of an item that count before any followed it."""


@dataclass(frozen=True, slots=True, eq=False)
class LoggedPlaces:
    """Places of answers that were shown, a row for each.

    Attributes:
        user: number of the user, from 0.
        answer: number of the answer, from 0 without a gap.
        place: from 0.
        reward: what followed: 1 for a click, or money.
        propensity: π_0 of the item that was shown there, above 0.
        target: π of that item, 0 where the other policy never shows it there.
    """

    user: Int64[NDArray[np.int64], " n"]
    answer: Int64[NDArray[np.int64], " n"]
    place: Int64[NDArray[np.int64], " n"]
    reward: Float64[NDArray[np.float64], " n"]
    propensity: Float64[NDArray[np.float64], " n"]
    target: Float64[NDArray[np.float64], " n"]

    def __post_init__(self) -> None:
        if not len(self.user):
            raise ValueError("no place was logged: nothing to estimate from")
        if not (self.propensity > 0.0).all():
            raise ValueError("a propensity is not above 0, of an item that was shown")

    @property
    def weight(self) -> Float64[NDArray[np.float64], " n"]:
        """π / π_0 of each row."""
        return self.target / self.propensity


@dataclass(frozen=True, slots=True)
class PolicyValue:
    """The mean reward of an answer under a policy.

    Attributes:
        mean: the estimate.
        low: lower end of its 95% interval, by users.
        high: upper end.
        effective_places: (Σ w)² / Σ w²: how many rows weigh in. Below some hundreds the interval,
            which takes sums over users to be normal, is not to be relied on.
    """

    mean: float
    low: float
    high: float
    effective_places: float


def inverse_propensity(log: LoggedPlaces) -> PolicyValue:
    """IPS: 1/m · Σ w · r over m answers. Without bias where π_0 shows all that π does."""
    return _value(log, log.weight * log.reward)


def self_normalized(log: LoggedPlaces) -> PolicyValue:
    """SNIPS: at each place Σ w · r / Σ w, times the share of answers that have the place.

    The mean of w at a place is 1, whatever the policies are (Swaminathan & Joachims 2015, "The
    self-normalized estimator for counterfactual learning", §4): to divide by what it came out as
    takes away most of its variance, for a bias that vanishes with the number of answers. The
    interval is that of the ratios by the delta method. A place where no weight is above 0 adds
    nothing.
    """
    return _value(log, _normalized(log))


def self_normalized_difference(
    log: LoggedPlaces, other: Float64[NDArray[np.float64], " n"]
) -> PolicyValue:
    """By how much a policy earns more than another one, both by SNIPS of the same log.

    What the two share adds nothing to the variance: the interval is that of the differences.
    `effective_places` is that of |w - w'|: how many of the rows in which they differ weigh in.

    Args:
        log: what was shown; its `target` is of the one policy.
        other: π of the item that was shown under the other one.
    """
    beside = replace(log, target=other)
    earned = _normalized(log) - _normalized(beside)
    return _value(log, earned, np.abs(log.weight - beside.weight))


def _normalized(log: LoggedPlaces) -> Float64[NDArray[np.float64], " n"]:
    """What each row adds to SNIPS: the mean of its place, and what its own is off from it."""
    weight = log.weight
    rows = np.bincount(log.place)
    total = np.bincount(log.place, weight)
    earned = np.bincount(log.place, weight * log.reward)
    spoken = total > 0.0
    mean = np.divide(earned, total, out=np.zeros_like(total), where=spoken)
    scale = np.divide(rows, total, out=np.zeros_like(total), where=spoken)
    residual = scale[log.place] * weight * (log.reward - mean[log.place])
    return mean[log.place] + residual


def doubly_robust(
    log: LoggedPlaces,
    predicted: Float64[NDArray[np.float64], " n"],
    predicted_target: Float64[NDArray[np.float64], " n"],
) -> PolicyValue:
    """DR: a model of the reward, and IPS of what it is wrong by.

        1/m · Σ [ Σ_i π(i, place) · q(i, place)  +  w · (r - q(item, place)) ]

    Without bias where the propensities or the model are right (Dudík, Langford & Li 2011, "Doubly
    robust policy evaluation and learning", §3, at each place).

    Args:
        log: what was shown.
        predicted: q of the item that was shown.
        predicted_target: Σ_i π(i, place) · q(i, place), over all items.
    """
    return _value(log, _robust(log, predicted, predicted_target))


def doubly_robust_difference(
    log: LoggedPlaces,
    other: Float64[NDArray[np.float64], " n"],
    predicted: Float64[NDArray[np.float64], " n"],
    predicted_target: Float64[NDArray[np.float64], " n"],
    predicted_other: Float64[NDArray[np.float64], " n"],
) -> PolicyValue:
    """The same as `self_normalized_difference` by DR.

    Args:
        log: see there.
        other: see there.
        predicted: see `doubly_robust`.
        predicted_target: see `doubly_robust`.
        predicted_other: the same of the other policy.
    """
    beside = replace(log, target=other)
    earned = _robust(log, predicted, predicted_target)
    earned -= _robust(beside, predicted, predicted_other)
    return _value(log, earned, np.abs(log.weight - beside.weight))


def _robust(
    log: LoggedPlaces,
    predicted: Float64[NDArray[np.float64], " n"],
    predicted_target: Float64[NDArray[np.float64], " n"],
) -> Float64[NDArray[np.float64], " n"]:
    return predicted_target + log.weight * (log.reward - predicted)


def predicted_rewards(
    log: LoggedPlaces,
    item: Int64[NDArray[np.int64], " n"],
    target_item: Int64[NDArray[np.int64], " n"],
) -> tuple[Float64[NDArray[np.float64], " n"], Float64[NDArray[np.float64], " n"]]:
    """A simple model of the reward, for `doubly_robust`: how good a place is, times the item.

        q(i, place) = rate(place) · (r_i + a) / (e_i + a)

    r_i is what followed item i in all, e_i what would have followed it by the rates of its places,
    and a draws items that were seldom shown towards the rate. What is said of a user is learned
    from the other half of the users, so that nobody's own rewards speak for themselves.

    Args:
        log: what was shown.
        item: number of each item, from 0.
        target_item: number of the item that the other policy has at the place of each row.

    Returns:
        q of the item that was shown, and of the other, in each row.
    """
    size, places = int(max(item.max(), target_item.max())) + 1, int(log.place.max()) + 1
    predicted, of_target = np.zeros(len(item)), np.zeros(len(item))
    half = log.user % 2 == 0
    for own, others in ((half, ~half), (~half, half)):
        shown = np.bincount(log.place[others], minlength=places)
        earned = np.bincount(log.place[others], log.reward[others], minlength=places)
        rate = earned / np.maximum(1, shown)
        expected = np.bincount(item[others], rate[log.place[others]], minlength=size)
        followed = np.bincount(item[others], log.reward[others], minlength=size)
        quality = (followed + _PRIOR) / (expected + _PRIOR)
        predicted[own] = rate[log.place[own]] * quality[item[own]]
        of_target[own] = rate[log.place[own]] * quality[target_item[own]]
    return predicted, of_target


def _value(
    log: LoggedPlaces,
    earned: Float64[NDArray[np.float64], " n"],
    weight: Float64[NDArray[np.float64], " n"] | None = None,
) -> PolicyValue:
    """The mean over answers of sums of rows, its variance that of a ratio of sums over users."""
    answers = int(log.answer.max()) + 1
    mean = float(earned.sum()) / answers
    first = np.unique(log.answer, return_index=True)[1]
    of_user = np.bincount(log.user, earned)
    answers_of_user = np.bincount(log.user[first], minlength=len(of_user))
    present = answers_of_user > 0
    users = int(present.sum())
    off = (of_user - mean * answers_of_user)[present]
    spread = float(off @ off) * users / max(1, users - 1) / answers**2
    radius = _Z95 * float(np.sqrt(spread)) if users > 1 else float("inf")
    weight = log.weight if weight is None else weight
    squares = float(weight @ weight)
    effective = float(weight.sum()) ** 2 / squares if squares else 0.0
    return PolicyValue(mean, mean - radius, mean + radius, effective)
