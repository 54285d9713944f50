"""What a list under a scenario tries out, and at which of its places."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from jaxtyping import Bool, Float64, Int64
from numpy.typing import NDArray

from recsvc.experiments.exploration import Draws, Features
from recsvc.recommend.exploring import Explorer
from recsvc.scenarios.placing import Counted, Placed

if TYPE_CHECKING:
    from recsvc.recommend.candidates import Candidates

TRIED_OUT = "exploration: tried out "
"""How the reason begins why an item stands where it is tried out."""
MADE_ROOM = "exploration: made room for what is tried out"
"""Why an item stands below the places where something is tried out, and would be at one of them."""


@dataclass(frozen=True, slots=True, eq=False)
class Tried:
    """What a list tries out.

    Attributes:
        rows: of the items that are tried out at the first places, by place from 0, also of those
            that a list of this length does not reach.
        known: what is known of each item that is tried out, by place.
        gains: what brings it to its place, by place.
        propensities: of the places where something may be tried out, by place, and of those below
            0, since nobody knows: what made room may be there.
    """

    rows: Mapping[int, int]
    known: Mapping[int, Features]
    gains: Mapping[int, float]
    propensities: Mapping[int, float]


def try_out(
    explorer: Explorer,
    made_of: "Candidates",
    found: Placed,
    near: Int64[NDArray[np.int64], " m"],
    new: Int64[NDArray[np.int64], " l"],
    k: int,
    drawn: Callable[[Int64[NDArray[np.int64], " m"]], Mapping[int, int] | None],
) -> tuple[Placed, Tried]:
    """The list with what is tried out.

    Args:
        explorer: draws it.
        made_of: what the list is made of.
        found: the list without it.
        near: rows of the best items by the blend.
        new: rows of the items that came since the refresh and may be tried out.
        k: how many places are wanted.
        drawn: which of some rows were drawn before, by place; None where that is not drawn yet.
    """
    pins, counted, within = made_of.pins, made_of.counted, explorer.document.within
    may = may_be_tried(explorer, made_of.rows, near, new, pins, counted, found)
    places, fixed = may_be_replaced(found, pins, counted, within), drawn(made_of.rows[may])
    draws, known = explorer.draws(places, made_of.exact, made_of.order[may], fixed)
    new_at = {place: int(may[n]) for place, n in draws.candidates.items()}
    fill = partial(made_of.fill, k)
    found, gains = with_tried(found, new_at, made_of.scores, pins, made_of.weight, draws, k, fill)
    chances = {p: c for p, c in enumerate(draws.propensity.tolist()[:k]) if c < 1.0}
    return found, Tried(
        {place: int(made_of.rows[new]) for place, new in new_at.items()},
        {place: known[place] for place in gains},
        gains,
        chances | dict.fromkeys(range(len(places), len(found.order)), 0.0),
    )


def may_be_tried(
    explorer: Explorer,
    candidates: Int64[NDArray[np.int64], " n"],
    near: Int64[NDArray[np.int64], " m"],
    new: Int64[NDArray[np.int64], " l"],
    pins: Mapping[int, int],
    counted: Sequence[Counted],
    found: Placed,
) -> Int64[NDArray[np.int64], " m"]:
    """Positions of the candidates that may be tried out without breaking a quota.

    What is among the best by the blend, and what is cold or new. An *at most* quota has to be
    kept whatever the other places try out, so an item is left out that it might refuse. What else
    was looked at, as for an explanation in full, changes nothing.

    Args:
        explorer: draws what is tried out.
        candidates: rows of items, by position.
        near: rows of the best items by the blend.
        new: rows of the items that came since the refresh and may be tried out.
        pins: positions of pinned items, by place.
        counted: the quotas, as the candidates count in them.
        found: the list without what is tried out.
    """
    document = explorer.document
    may = np.isin(candidates, np.concatenate([near, explorer.cold, new]))
    may[[*found.order[: document.within].tolist(), *pins.values()]] = False
    blocks = -(-document.within // int(1.0 / document.share + 1e-9))
    head = found.order[: document.within].tolist()
    for each in counted:
        if each.quota.at_least:
            continue
        if each.matches is not None:
            may &= ~each.matches
            continue
        having = Counter(value for position in head for value in each.values[position])
        for position in np.flatnonzero(may).tolist():
            own = each.values[position]
            may[position] = all(having[v] + blocks <= each.quota.count for v in own)
    return np.flatnonzero(may)


def may_be_replaced(
    found: Placed, pins: Mapping[int, int], counted: Sequence[Counted], within: int
) -> Bool[NDArray[np.bool_], " places"]:
    """At which of the first places an item may be tried out: of no pin, and of no quota."""
    head = found.order[:within]
    may = ~np.isin(head, list(pins.values()))
    for each in counted:
        if each.quota.at_least and each.matches is not None:
            may &= ~each.matches[head]
    return np.asarray(may)


def with_tried(
    found: Placed,
    new_at: Mapping[int, int],
    scores: Float64[NDArray[np.float64], " n"],
    pins: Mapping[int, int],
    weight: float,
    draws: Draws,
    k: int,
    fill: Callable[[Mapping[int, int]], Placed],
) -> tuple[Placed, Mapping[int, float]]:
    """The first k places with what is tried out, and what that gains, by place.

    It stands with the score of the item whose place it takes. That item comes below the explored
    places, if anywhere: what is below is filled anew.

    Args:
        found: the list without it.
        new_at: positions of candidates by place, from 0.
        scores: of the candidates.
        pins: see `placed`.
        weight: what a candidate loses that is just like one before it.
        draws: what was drawn.
        k: how many places are wanted.
        fill: fills k places around some pins.
    """
    head = len(draws.propensity)
    final = scores[found.order] - weight * found.similarity
    gains = {p: float(final[p] - scores[new]) for p, new in new_at.items() if p < k}
    order, similarity = found.order[:head].copy(), found.similarity[:head].copy()
    for place, new in new_at.items():
        order[place], similarity[place] = new, 0.0
    reasons = {place: why for place, why in found.reasons.items() if place < min(k, head)}
    reasons |= {p: f"{TRIED_OUT}with a chance of {draws.propensity[p]:.3g}" for p in gains}
    if k <= head or not new_at:
        order = np.concatenate([order, found.order[head:]])[:k]
        similarity = np.concatenate([similarity, found.similarity[head:]])[:k]
        reasons |= {place: why for place, why in found.reasons.items() if head <= place < k}
        return replace(found, order=order, similarity=similarity, reasons=reasons), gains
    fixed = {place: one for place, one in pins.items() if place > head}
    after = fill(fixed | dict(enumerate(order.tolist(), start=1)))
    room = np.isin(after.order, found.order[[*new_at]])
    reasons |= dict.fromkeys(np.flatnonzero(room).tolist(), MADE_ROOM)
    reasons |= {place: why for place, why in after.reasons.items() if place >= head}
    similarity = np.concatenate([similarity, after.similarity[head:]])
    relaxed, lowest = found.relaxed or after.relaxed, min(found.lowest, after.lowest)
    return Placed(after.order, reasons, similarity, relaxed, after.unkept, lowest), gains
