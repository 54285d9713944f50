"""How much each part of a score counts for a user of whom little is known.

n_s(u) brings a signal to one scale however little stands behind it, and λ is learned on users of
whom much is known. Of a user who has m items and follows n people, each 1 at least,

    r_base(u)     = (20 / m)^prior            also of signals that start from categories
    r_follows(u)  = (20 / m)^follows · n^people
    r_s(u)        = max(1, 20 / m)^items_s      of a signal s that starts from items

so that somebody with one item gets mostly what is popular and what is known otherwise, and somebody
with twenty what λ says. items_s is 0 unless with few items this signal clearly says more than the
others, or less. m is the effective count of the weights that are above 0 (Kish 1965,
"Survey Sampling", §11.7): m equal ones count as m, and one beside many that are small as hardly
more than 1, since what they add up to is hardly more than that one.

    m = (Σ_j e_j)² / Σ_j e_j²
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float64
from numpy.typing import NDArray

from recsvc.evidence import EvidenceKind, EvidenceMatrices

COUNTED: tuple[EvidenceKind, ...] = ("item", "user")
"""The kinds of evidence that are counted."""

_USUAL_ITEMS = 20.0
"""m of a user for whom the prior counts as λ says."""


@dataclass(frozen=True, slots=True)
class Reliance:
    """The exponents; with 0 each part counts the same for everybody.

    Attributes:
        prior: of what the prior, and what is said of categories, counts for more with less known.
        follows: the same of what is said of followed users.
        people: of what that counts for more with more of them.
        items: of what a signal that starts from items counts for more with less known, by name; 0
            of one that is not named.
    """

    prior: float = 0.0
    follows: float = 0.0
    people: float = 0.0
    items: Mapping[str, float] = field(default_factory=dict[str, float])

    def base(self, items: Float64[NDArray[np.float64], "*n"]) -> Float64[NDArray[np.float64], "*n"]:
        """r_base of n users with so many items."""
        return _less_known(items) ** self.prior

    def signal(
        self,
        name: str,
        kind: EvidenceKind,
        items: Float64[NDArray[np.float64], "*n"],
        people: Float64[NDArray[np.float64], "*n"],
    ) -> Float64[NDArray[np.float64], "*n"]:
        """r_s of n users with so many items and followed users.

        Args:
            name: of the signal.
            kind: of the evidence that it starts from.
            items: effective counts, as `effective_counts` gives them.
            people: the same of followed users.
        """
        if kind == "item":
            return np.maximum(_less_known(items), 1.0) ** self.items.get(name, 0.0)
        if kind == "category":
            return self.base(items)
        return _less_known(items) ** self.follows * np.maximum(people, 1.0) ** self.people


def _less_known(items: Float64[NDArray[np.float64], "*n"]) -> Float64[NDArray[np.float64], "*n"]:
    return _USUAL_ITEMS / np.maximum(items, 1.0)


ALIKE = Reliance()
"""Each part counts the same for everybody."""


def effective_count(
    total: Float64[NDArray[np.float64], "*n"], square: Float64[NDArray[np.float64], "*n"]
) -> Float64[NDArray[np.float64], "*n"]:
    """(Σ w)² / Σ w²; 0 where there is no weight.

    Args:
        total: Σ w of each of n users, over the weights above 0 of one kind of evidence.
        square: Σ w².
    """
    return np.divide(total**2, square, out=np.zeros_like(total), where=square > 0.0)


def effective_counts(
    evidence: EvidenceMatrices,
) -> Float64[NDArray[np.float64], "2 n"]:
    """The effective counts of the items and of the followed users of each of n users.

    Args:
        evidence: of each kind.
    """
    counts: list[Float64[NDArray[np.float64], " n"]] = []
    for kind in COUNTED:
        liked = evidence[kind].astype(np.float64).maximum(0.0)
        sums = (np.asarray(x.sum(axis=1), np.float64)[:, 0] for x in (liked, liked.multiply(liked)))
        counts.append(effective_count(*sums))
    return np.array(counts)
