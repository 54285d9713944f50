"""Groups of items that a scenario gives a share of the first places: what their items gain."""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.fairness import fairness_parts
from recsvc.scenarios.facts import Facts
from recsvc.scenarios.plan import Plan


def lifted(
    plan: Plan,
    facts: Facts,
    candidates: Int64[NDArray[np.int64], " n"],
    scores: Float64[NDArray[np.float64], " n"],
    pinned: Mapping[int, int],
) -> tuple[Float64[NDArray[np.float64], " n"], float]:
    """What candidates gain as the share of their group, and the lowest score this depends on.

    That is the lowest of those that make up a share: what is not known yet and is below cannot be
    among them, and outside of the group cannot come before them. It is -inf where a group has
    fewer. Pins stand where they stand, so that the share is one of the other places.

    Args:
        plan: what the scenario does now.
        facts: what is known of the candidates.
        candidates: their rows.
        scores: of the candidates.
        pinned: the place of each pinned row, from 1.
    """
    gained, least = np.zeros(len(scores)), np.inf
    if not plan.lifts:
        return gained, least
    place = np.array([pinned.get(row, 0) for row in candidates.tolist()], np.int64)
    free = place == 0
    for quota in plan.lifts:
        group, within = facts.meets(quota.where or (), candidates), quota.within or 0
        before = ~free & (place <= within)
        wanted = quota.count - int((group & before).sum())
        places = within - int(before.sum())
        now = scores + gained
        own = -np.sort(-now[group & free])
        if wanted > 0:
            least = min(least, float(own[wanted - 1]) if wanted <= len(own) else -np.inf)
        gained[free] += fairness_parts(now[free], group[free], wanted, places)
    return gained, least
