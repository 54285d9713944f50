"""Which variant is better, by intervals that stay valid however often somebody looks.

The unit is the user. What one user does on one day and the next is alike, so that 1,000 impressions
of ten users say less than one each of 1,000. All is computed from sums over users (`UserSums`).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import gammaln, logsumexp

LEVEL = 0.05
"""Chance that an interval is ever wrong, of all variants and looks of an experiment together."""

LEAST_USERS = 50
"""Users with an outcome that each of two variants has before they are compared: sums over fewer
are not yet normal, which the interval takes them to be."""

MISMATCH_LEVEL = 0.001
"""Chance that a sample ratio is ever said to be wrong that is right."""

_PRIOR_USERS = np.array([[10.0], [100.0], [1_000.0], [10_000.0]])
"""c of `sample_ratio_p_value`: each sees most where there are as many users, or somewhat more."""


@dataclass(frozen=True, slots=True)
class UserSums:
    """Sums over the users of one variant, n_u being what user u was shown and y_u what followed.

    Attributes:
        users: those with n_u above 0.
        responding: those of them with a y_u other than 0.
        shown: Σ n_u: impressions, answers or days.
        followed: Σ y_u: clicks, purchases, or money.
        shown_squared: Σ n_u².
        shown_followed: Σ n_u · y_u.
        followed_squared: Σ y_u².
    """

    users: int
    responding: int
    shown: float
    followed: float
    shown_squared: float
    shown_followed: float
    followed_squared: float

    @classmethod
    def of(cls, shown: Sequence[float], followed: Sequence[float]) -> "UserSums":
        """The sums of one number shown, above 0, and one number followed for each user."""
        pairs = list(zip(shown, followed, strict=True))
        return cls(
            users=len(pairs),
            responding=sum(y != 0 for _, y in pairs),
            shown=math.fsum(n for n, _ in pairs),
            followed=math.fsum(y for _, y in pairs),
            shown_squared=math.fsum(n * n for n, _ in pairs),
            shown_followed=math.fsum(n * y for n, y in pairs),
            followed_squared=math.fsum(y * y for _, y in pairs),
        )

    @property
    def rate(self) -> float:
        """R = Σ y_u / Σ n_u; 0 where nothing was shown."""
        return self.followed / self.shown if self.shown else 0.0

    @property
    def variance(self) -> float:
        """Of the rate, by the delta method over users; 0 for fewer than 2 users.

            Var R = m / (m - 1) · Σ_u (y_u - R · n_u)² / (Σ_u n_u)²,   m users

        (Deng, Knoblich & Lu 2018, "Applying the delta method in metric analytics", §3, for a ratio
        of two sums.)
        """
        if self.users < 2 or not self.shown:
            return 0.0
        rate = self.rate
        squares = (
            self.followed_squared
            - 2.0 * rate * self.shown_followed
            + rate * rate * self.shown_squared
        )
        return max(0.0, squares) * self.users / (self.users - 1) / self.shown**2


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much the rate of a variant is above that of the first variant.

    Attributes:
        mean: the difference of the rates.
        low: lower end of its confidence sequence.
        high: upper end.
        p_value: the smallest level at which the interval would leave out 0, at any look.
    """

    mean: float
    low: float
    high: float
    p_value: float


def difference(
    control: UserSums, variant: UserSums, *, effect: float, comparisons: int = 1
) -> Difference | None:
    """The difference of two rates with an interval that holds at all looks together.

        θ ± √(V · (s + 1)/s · log((s + 1)/α²)),   s = τ²/V,   V = Var R_1 + Var R_0

    This is the asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy & Ramdas
    2024, "Time-uniform central limit theory and asymptotic confidence sequences", theorem 2.2,
    σ̂²/t of which is V and t·ρ² of which is s. So time is counted by what is known: a user who
    comes back adds less than a new one. Under the null, rates of the same users at two looks have
    the variance of the later one as their covariance, which is what the theorem asks for, as long
    as n_u grows with time alike for all.

    τ, the size of differences for which the interval is narrowest, is `effect` times the rate of
    both together.

    Args:
        control: the first variant.
        variant: another one.
        effect: relative difference that is looked for, such as 0.1.
        comparisons: how many variants are compared with the first: each gets its part of the level.

    Returns:
        None before both have `LEAST_USERS` users with an outcome.
    """
    if min(control.responding, variant.responding) < LEAST_USERS:
        return None
    spread = control.variance + variant.variance
    if not spread:
        return None
    both = (control.followed + variant.followed) / (control.shown + variant.shown)
    known = (effect * both) ** 2 / spread
    mean = variant.rate - control.rate
    level = LEVEL / comparisons
    radius = math.sqrt(spread * (known + 1.0) / known * (math.log1p(known) - 2.0 * math.log(level)))
    evidence = mean * mean / spread * known / (known + 1.0)
    p_value = min(1.0, comparisons * math.exp(0.5 * (math.log1p(known) - evidence)))
    return Difference(mean, mean - radius, mean + radius, p_value)


def sample_ratio_p_value(users: Mapping[str, int], shares: Mapping[str, float]) -> float:
    """How likely it is that users ever come to variants so unlike their shares; valid at any look.

    One over the mean of the Bayes factors of four Dirichlet priors around the shares p against the
    shares:

        B_c = Γ(c) / Γ(c + m) · Π_i Γ(c·p_i + m_i) / (Γ(c·p_i) · p_i^m_i),   Σ_i m_i = m

    Under the shares each B_c is a martingale that begins at 1, and so is their mean, which thus
    ever reaches 1/α with a chance of α at most (Lindon & Malek 2022, "Anytime-valid inference for
    multinomial count data", §3). One c alone sees little where users are far fewer or far more;
    their mean is at least a quarter of the largest, whatever the size.

    A mismatch below `MISMATCH_LEVEL` means that outcomes of the variants cannot be compared: users
    got lost on the way of one of them.

    Args:
        users: of each variant, each user once.
        shares: of each variant; only how they are to each other counts.
    """
    count = np.array([users.get(name, 0) for name in shares], np.float64)
    share = np.array(list(shares.values()), np.float64)
    share /= share.sum()
    prior = _PRIOR_USERS * share
    log_factors = (
        gammaln(_PRIOR_USERS[:, 0])
        - gammaln(_PRIOR_USERS[:, 0] + count.sum())
        + (gammaln(prior + count) - gammaln(prior)).sum(axis=1)
        - float(count @ np.log(share))
    )
    log_factor = float(logsumexp(log_factors)) - math.log(len(log_factors))
    return min(1.0, math.exp(-log_factor)) if log_factor > 0 else 1.0
