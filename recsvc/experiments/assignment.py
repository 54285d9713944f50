"""Which variant of an experiment a user gets. Pure: the same everywhere, at any time."""

import hashlib
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate

_HASHES = 1 << 64


@dataclass(frozen=True, slots=True)
class Assignment:
    """The variants of one experiment, and for which hashes a user gets each.

    Attributes:
        experiment: its name.
        variants: their names.
        ends: for each variant the hash before which it ends; it begins where the one before ends.
    """

    experiment: str
    variants: tuple[str, ...]
    ends: tuple[int, ...]

    @classmethod
    def of(cls, experiment: str, shares: Mapping[str, float]) -> "Assignment":
        """Lay the shares side by side over all hashes.

        A share is read as the decimal number it is written as, so 0.1 is a tenth of the 2^64
        hashes, rounded down to a whole one. Where the shares are less than 1, the other users are
        in no variant. If the share of one of two variants grows, only users come to it, nobody
        leaves it. Outcomes from before a change must not be compared with those after it: what
        changes shares is a new revision, with results of its own.

        Args:
            experiment: its name.
            shares: of each variant, above 0, in an order that is kept.

        Raises:
            ValueError: a share is not above 0, or they are more than 1 in sum.
        """
        exact = [Fraction(str(share)) for share in shares.values()]
        for name, share in zip(shares, exact, strict=True):
            if share <= 0:
                raise ValueError(f"share of {name!r}: expected a number above 0, got {share}")
        if (total := sum(exact)) > 1:
            raise ValueError(f"the shares are {float(total):g} in sum: expected 1 or less")
        return cls(experiment, tuple(shares), tuple(int(s * _HASHES) for s in accumulate(exact)))

    def variant(self, user_id: str) -> str | None:
        """The variant of a user; None for one that is in no variant."""
        place = bisect_right(self.ends, assignment_hash(self.experiment, user_id))
        return self.variants[place] if place < len(self.variants) else None


def assignment_hash(experiment: str, user_id: str) -> int:
    """A number from 0 to 2^64 - 1, even over users, independent from one experiment to the next.

    The first 8 bytes of BLAKE2b (RFC 7693) of the user's id, with the name's digest as its key.
    """
    key = hashlib.blake2b(experiment.encode(), digest_size=32).digest()
    return int.from_bytes(hashlib.blake2b(user_id.encode(), digest_size=8, key=key).digest())
