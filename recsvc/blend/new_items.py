"""What counts of an item that nobody had, learned on items that are taken as new.

λ is learned on items that many people have, where what an item says of itself adds little. Of one
that nobody had, nothing else is known. So its λ is learned apart: a tenth of the items of the
validation users is taken as if nobody had had them. Signals that come from what people did, and the
prior, say nothing of these, and they are no evidence; all that the users did with them is looked
for, together with what was held out. Items that nobody had by themselves are ranked by nobody
here: they may be liked as well, and would count as misses. λ_new is the one that ranks all of it
best:

    λ · share_i = λ + (λ_new - λ) / (1 + n_i),    n_i people who had item i
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import scipy.sparse as sp
from jaxtyping import Bool, Float32
from numpy.typing import NDArray

from recsvc.blend.blend import BASE, scaled_scores
from recsvc.blend.fit import SplitSignals
from recsvc.blend.reliance import Reliance, effective_counts
from recsvc.blend.weights import (
    Candidates,
    candidates_in_parts,
    ndcg_of_users,
    random_halves,
)
from recsvc.evaluation.splits import entries, id_numbers
from recsvc.evidence import EvidenceMatrices, of_users
from recsvc.signals import Signal
from recsvc.signals.metapath import follows_people, metapath_kinds

_ONE_OF: Final = 10
"""One item of so many is taken as new."""
_TRIED: Final = (0.0, *np.geomspace(0.125, 8.0, 25).tolist())
"""What is tried for λ_new - λ."""


def learned_for_new(
    signals: SplitSignals, weights: Mapping[str, float], reliance: Reliance
) -> float:
    """λ_new of what items say of themselves; 0 where no signal does, or it is of no use.

    Args:
        signals: made from what a split has left.
        weights: λ by signal.
        reliance: what the parts count for with little known.
    """
    content = next((s for s in signals.signals if not s.of_people), None)
    if content is None:
        return 0.0
    new = _taken_as_new(signals) & content.reached()
    candidates = _candidates(signals, content, weights, reliance, new)
    many = candidates.of_users(np.flatnonzero(signals.many))
    if not many.features[1].any() or not many.relevant.any():
        return 0.0
    return weights[content.name] + _ranks_best(many)


def _ranks_best(candidates: Candidates) -> float:
    """The weight of the second feature beside the first: the mean of the best of random halves.

    A place that a new item takes is as much a guess as the one that it has below the list, so
    neither needs more than the other to be chosen.
    """
    usual, own = candidates.features
    ndcg = np.array([ndcg_of_users(candidates, usual + np.float32(w) * own) for w in _TRIED])
    halves = random_halves(len(candidates.n_relevant))
    return float(np.mean([_TRIED[int(ndcg[:, half].mean(axis=1).argmax())] for half in halves]))


def _taken_as_new(signals: SplitSignals) -> Bool[NDArray[np.bool_], " items"]:
    """One of ten items, mostly the same when there are others."""
    items = signals.split.graph.items
    return id_numbers(items).view(np.uint64) % np.uint64(_ONE_OF) == 0


def _candidates(
    signals: SplitSignals,
    content: Signal,
    weights: Mapping[str, float],
    reliance: Reliance,
    new: Bool[NDArray[np.bool_], " items"],
) -> Candidates:
    """What λ_new is learned on: its features are the blend as usual, and 1 / (1 + n_i) of content.

    Args:
        signals: made from what a split has left.
        content: one of them.
        weights: λ by signal.
        reliance: what the parts count for with little known.
        new: the items that are taken as new.
    """
    split, given = signals.split, dict(signals.given)
    of_items = given["item"]
    as_new = new[of_items.indices]
    given["item"] = entries(of_items, ~as_new)
    asked = sp.csr_matrix(split.held_out[split.users] + entries(of_items, as_new))
    people = np.where(new, 0, split.kept.getnnz(axis=0))
    # Of what nobody had it is not known whether somebody would have liked it.
    had = np.flatnonzero(split.kept.getnnz(axis=0) + split.held_out.getnnz(axis=0))
    factors = _factors(signals, given, weights, reliance)
    nearly_new = (1.0 / (1.0 + people)).astype(np.float32)
    relied = reliance.signal(content.name, content.kind, *effective_counts(given))

    def scores(some: slice) -> list[Float32[NDArray[np.float32], "n items"]]:
        usual = np.zeros((len(split.users[some]), len(new)), np.float32)
        own = np.zeros_like(usual)
        asking = of_users(given, some)
        for signal in signals.signals:
            scaled = scaled_scores(signal, signal.weighed_of(asking))
            if signal is content:
                own = scaled * relied[some, None].astype(np.float32) * nearly_new
            usual += _known(signal.name, signal, scaled, new) * factors[signal.name][some, None]
        prior = np.where(new, np.float32(0.0), signals.prior)
        usual += prior * factors[BASE][some, None]
        return [usual[:, had], own[:, had]]

    return candidates_in_parts(scores, 2, given["item"][:, had], asked[:, had])


def _factors(
    signals: SplitSignals,
    given: EvidenceMatrices,
    weights: Mapping[str, float],
    reliance: Reliance,
) -> dict[str, Float32[NDArray[np.float32], " users"]]:
    """λ_s r_s(u) of each signal and of the prior, for each user."""
    counts = effective_counts(given)
    factors = {
        name: weights[name] * reliance.signal(name, kind, *counts)
        for name, kind in signals.kinds.items()
    }
    factors[BASE] = weights[BASE] * reliance.base(counts[0])
    return {name: values.astype(np.float32) for name, values in factors.items()}


def _known(
    name: str,
    signal: Signal,
    scaled: Float32[NDArray[np.float32], "n items"],
    new: Bool[NDArray[np.bool_], " items"],
) -> Float32[NDArray[np.float32], "n items"]:
    """Scores without what a signal cannot know of new items."""
    knows = not signal.of_people or (name in metapath_kinds() and not follows_people(name))
    return scaled if knows else np.where(new, np.float32(0.0), scaled)
