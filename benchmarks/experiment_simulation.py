"""How often an experiment finds what is not there, and what is: by simulation.

    python benchmarks/experiment_simulation.py [RUNS] [SEED]

Each run is an experiment of 30 days with two variants, looked at every evening. Users come new each
day and come back; each has a taste of its own, so that what one does on many days is alike. The
table has, for a true relative difference of the click rate, the share of runs in which an interval
ever left out 0: by the confidence sequence over users, by the same with impressions taken as
independent, and by a plain 95% interval over users, both of which people are tempted to look at.
The first line is the rate of false positives. A second table has the share of runs in which the
test of the sample ratio ever said that users are lost.
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from _environment import describe
from jaxtyping import Float64
from numpy.typing import NDArray

from recsvc.experiments.sequential import (
    LEVEL,
    MISMATCH_LEVEL,
    Difference,
    UserSums,
    difference,
    sample_ratio_p_value,
)

DAYS, USERS, RATE, EFFECT = 30, 1_500, 0.08, 0.1
"""Days; users of a variant at the end; mean click rate; the relative difference looked for."""
LOST = {10: (0.4, 0.6), 100: (0.15, 0.2), 1_000: (0.05, 0.06), 10_000: (0.015, 0.02)}
"""Shares of the users of the second variant that are lost, by users that come a day."""
_Z = 1.96


@dataclass(frozen=True, slots=True)
class Found:
    """Which ways to look have found a difference, and on which day the first way did."""

    sequence: bool
    impressions: bool
    plain: bool
    day: int


def main() -> None:
    """Simulate, and print a line for each true difference."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="?", type=int, default=400)
    parser.add_argument("seed", nargs="?", type=int, default=0)
    given = parser.parse_args()
    print(describe(), flush=True)
    rng = np.random.default_rng(given.seed)
    print(f"{given.runs} runs, {USERS:,} users a variant, {RATE:.0%} clicks, {DAYS} daily looks")
    print("true difference | sequence over users | sequence over impressions | plain | median day")
    for lift in (0.0, 0.1, 0.2, 0.3):
        found = [experiment(rng, lift) for _ in range(given.runs)]
        shares = [
            np.mean([getattr(f, n) for f in found]) for n in ("sequence", "impressions", "plain")
        ]
        days = [f.day for f in found if f.sequence]
        day = f"{np.median(days):.0f}" if days else "-"
        print(
            f"{lift:+.0%} | " + " | ".join(f"{share:.3f}" for share in shares) + f" | {day}",
            flush=True,
        )
    print("users a day | users lost of the second variant | said, of shares of a half each")
    for daily, losses in LOST.items():
        for lost in (0.0, *losses):
            said = np.mean([mismatch(rng, daily, lost) for _ in range(given.runs)])
            print(f"{daily:,} | {lost:.1%} | {said:.4f}", flush=True)
    print(f"levels: {LEVEL} and {MISMATCH_LEVEL}")


def experiment(rng: np.random.Generator, lift: float) -> Found:
    """Run one, looked at daily."""
    looks = zip(days(rng, 0.0), days(rng, lift), strict=True)
    sequence = impressions = plain = False
    found_on = 0
    for day, ((control, control_flat), (variant, variant_flat)) in enumerate(looks, start=1):
        now = difference(control, variant, effect=EFFECT)
        if now is None:
            continue
        if not sequence and leaves_out_zero(now):
            sequence, found_on = True, day
        flat = difference(control_flat, variant_flat, effect=EFFECT)
        impressions |= flat is not None and leaves_out_zero(flat)
        spread = np.sqrt(control.variance + variant.variance)
        plain |= bool(abs(now.mean) > _Z * spread)
    return Found(sequence, impressions, plain, found_on)


def leaves_out_zero(found: Difference) -> bool:
    """Whether there is a difference, by its interval."""
    return found.low > 0.0 or found.high < 0.0


def days(rng: np.random.Generator, lift: float) -> Iterator[tuple[UserSums, UserSums]]:
    """The sums of a variant on the evening of each day: by user, and by impression."""
    begins = rng.integers(DAYS, size=USERS)
    taste = np.minimum(1.0, rng.beta(20 * RATE, 20 * (1 - RATE), USERS) * (1.0 + lift))
    busy = rng.gamma(0.5, 4.0, USERS)  # impressions a day: most have few, some have many
    here = np.arange(DAYS)[:, None] >= begins
    shown = rng.poisson(busy * here).cumsum(axis=0)
    # Clicks of a day are those of its impressions: the sums are binomial in steps.
    new = np.diff(shown, axis=0, prepend=0)
    followed = rng.binomial(new, taste).cumsum(axis=0)
    for n, y in zip(shown.astype(float), followed.astype(float), strict=True):
        yield sums(n, y), flat_sums(n.sum(), y.sum(), y)


def sums(
    n: Float64[NDArray[np.float64], " users"], y: Float64[NDArray[np.float64], " users"]
) -> UserSums:
    """`UserSums.of`, by arrays."""
    return UserSums(
        int((n > 0).sum()),
        int((y > 0).sum()),
        n.sum(),
        y.sum(),
        float(n @ n),
        float(n @ y),
        float(y @ y),
    )


def flat_sums(shown: float, followed: float, y: Float64[NDArray[np.float64], " users"]) -> UserSums:
    """The sums as if each impression came to somebody else."""
    return UserSums(int(shown), int((y > 0).sum()), shown, followed, shown, followed, followed)


def mismatch(rng: np.random.Generator, daily: int, lost: float) -> bool:
    """Whether a loss of users is said on one of the days."""
    a = rng.poisson(daily / 2, DAYS).cumsum()
    b = rng.poisson(daily / 2 * (1 - lost), DAYS).cumsum()
    shares = {"a": 0.5, "b": 0.5}
    return any(
        sample_ratio_p_value({"a": m, "b": n}, shares) < MISMATCH_LEVEL
        for m, n in zip(a.tolist(), b.tolist(), strict=True)
    )


if __name__ == "__main__":
    main()
