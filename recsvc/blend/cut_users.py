"""What the parts of a blend count for with little known of a user, learned on cut evidence.

λ is learned on users of whom much is known. The same users, with all but a few of their items taken
away, show what is worth how much with as little: what was held out from them is looked for by what
is left. Signals say the same as before: they were made from what everybody did.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy.sparse as sp
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from recsvc.blend.blend import BASE, scaled_scores
from recsvc.blend.reliance import Reliance, effective_counts
from recsvc.blend.weights import Candidates, candidates_in_parts, top_hits
from recsvc.evaluation.groups import BY_ITEMS_KNOWN
from recsvc.evaluation.metrics import accuracy
from recsvc.evaluation.splits import entries
from recsvc.evidence import EVIDENCE_KINDS, EvidenceKind
from recsvc.signals import Signal

USUAL: Final = Reliance(prior=1.5, follows=0.5, people=0.25)
USUAL_BASE: Final = 0.2
"""What is taken where too few users tell otherwise, and λ_base where it was learned as less: the
best of the grid on Ciao, Last.fm, MovieLens and Gowalla together (docs/decisions/0028)."""

_CUTS = (0, 1, 2, 3, 5, 10, 20)
_USERS_OF_A_CUT = 500
MOST_CUT_USERS: Final = len(_CUTS) * _USERS_OF_A_CUT
_LEAST_GROUP = 20
_ROUNDS = 4
_TRIED: Mapping[str, Sequence[float]] = {
    BASE: (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0),
    "prior": (-1.0, -0.5, 0.0, 0.5, 1.0, 1.5, 2.0),
    "follows": (0.0, 0.25, 0.5, 0.75, 1.0, 1.5),
    "people": (0.0, 0.25, 0.5, 0.75, 1.0),
}


@dataclass(frozen=True, slots=True, eq=False)
class CutUsers:
    """Validation users with some of their items or all of them.

    Attributes:
        candidates: their features are Σ_s λ_s · n_s(u) · Σ_j e_j K_s(j, i) over the signals of each
            kind of evidence, in the order of `EVIDENCE_KINDS`, and the prior.
        counts: see `effective_counts`.
        items: how many items are left.
        user: a number for the user.
    """

    candidates: Candidates
    counts: Float64[NDArray[np.float64], "2 n"]
    items: Int64[NDArray[np.int64], " n"]
    user: Int64[NDArray[np.int64], " n"]

    def ndcg(self, base: float, reliance: Reliance) -> Float64[NDArray[np.float64], " n"]:
        """NDCG@20 of each with this λ_base and these exponents."""
        factors = [reliance.signal(kind, *self.counts) for kind in EVIDENCE_KINDS]
        factors.append(base * reliance.base(self.counts[0]))
        values = np.zeros(self.candidates.present.shape, np.float32)
        for factor, feature in zip(factors, self.candidates.features, strict=True):
            values += factor.astype(np.float32)[:, None] * feature
        return accuracy(top_hits(self.candidates, values, 20), self.candidates.n_relevant)["ndcg"]

    def shares(self) -> Float64[NDArray[np.float64], " n"]:
        """What each counts: the groups by known items the same, 0 in one of too few users."""
        group = BY_ITEMS_KNOWN.of(self.items)
        size = np.bincount(group)
        enough = size >= _LEAST_GROUP
        return np.where(enough[group], 1.0 / (size[group] * max(1, enough.sum())), 0.0)


def cut_users(
    signals: Sequence[Signal],
    weights: Mapping[str, float],
    prior: Float32[NDArray[np.float32], " items"],
    given: Mapping[EvidenceKind, sp.csr_matrix],
    held_out: sp.csr_matrix,
) -> CutUsers:
    """Validation users with 0, 1, 2, 3, 5, 10 and 20 of their items, and with all.

    Args:
        signals: made from what is left of all evidence.
        weights: λ by signal.
        prior: from the same.
        given: what is known of each validation user, by kind, [users, evidence nodes].
        held_out: what is held out from each, [users, items].
    """
    rng = np.random.default_rng(0)
    whole, besides = given["item"], sum(given[kind].getnnz(axis=1) for kind in ("user", "category"))
    count = whole.getnnz(axis=1)
    user, left = [np.arange(len(count))], [whole]
    place = rng.random(whole.nnz)
    order = np.lexsort((place, np.repeat(np.arange(len(count)), count)))
    rank = np.empty(whole.nnz, np.int64)
    rank[order] = np.arange(whole.nnz) - np.repeat(whole.indptr[:-1], count)
    for most in _CUTS:
        able = np.flatnonzero((count > most) & ((most > 0) | (besides > 0)))
        chosen = np.sort(rng.permutation(able)[:_USERS_OF_A_CUT])
        user.append(chosen)
        left.append(entries(whole, rank < most)[chosen])
    of = np.concatenate(user)
    evidence: dict[EvidenceKind, sp.csr_matrix] = {kind: own[of] for kind, own in given.items()}
    evidence["item"] = sp.csr_matrix(sp.vstack(left, format="csr", dtype=np.float32))

    def scores(some: slice) -> list[Float32[NDArray[np.float32], "n items"]]:
        rows = len(of[some])
        by_kind = {kind: np.zeros((rows, len(prior)), np.float32) for kind in EVIDENCE_KINDS}
        for signal in signals:
            own = scaled_scores(signal, evidence[signal.kind][some])
            by_kind[signal.kind] += np.float32(weights[signal.name]) * own
        return [*by_kind.values(), np.broadcast_to(prior, (rows, len(prior)))]

    candidates = candidates_in_parts(scores, len(EVIDENCE_KINDS) + 1, whole[of], held_out[of])
    return CutUsers(candidates, effective_counts(evidence), evidence["item"].getnnz(axis=1), of)


def learned_reliance(users: CutUsers, base: float) -> tuple[float, Reliance]:
    """λ_base and the exponents with the best NDCG@20, the mean over groups by known items.

    The search goes from what is usual, one number at a time, and takes another one only where it
    gains more than the standard error of its gain, the gains of one user taken together.

    Args:
        users: with part of their evidence.
        base: λ_base as it was learned on whole evidence.
    """
    shares = users.shares()
    best = {BASE: max(base, USUAL_BASE), "prior": USUAL.prior, "follows": USUAL.follows,
            "people": USUAL.people}  # fmt: skip

    def measured(tried: Mapping[str, float]) -> Float64[NDArray[np.float64], " n"]:
        return users.ndcg(tried[BASE], _reliance(tried))

    ndcg = measured(best)
    for _ in range(_ROUNDS if shares.any() else 0):
        before = best
        for name, values in _TRIED.items():
            tried = {value: measured(best | {name: value}) for value in values}
            value = max(tried, key=lambda each: float(shares @ tried[each]))
            gain = np.bincount(users.user, shares * (tried[value] - ndcg))
            if gain.sum() > gain.std() * np.sqrt(len(gain)):
                best, ndcg = best | {name: value}, tried[value]
        if best is before:
            break
    return best[BASE], _reliance(best)


def _reliance(tried: Mapping[str, float]) -> Reliance:
    return Reliance(tried["prior"], tried["follows"], tried["people"])
