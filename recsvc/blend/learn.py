"""What a blend learns on what was held out: λ, and what it counts for with little known.

The signals are those that `recsvc.blend.fit` makes of what is left.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from jaxtyping import Float32, Float64
from numpy.typing import NDArray

from recsvc.blend.blend import BASE, LEAST_APART, LEAST_WEIGHT
from recsvc.blend.cut_users import USUAL, USUAL_BASE, cut_users, learned_reliance
from recsvc.blend.fit import LEAST_USERS, Parts, SplitSignals, split_signals
from recsvc.blend.hold_out import ValidationSplit
from recsvc.blend.new_items import learned_for_new
from recsvc.blend.parts import Learned, Tables, Validated
from recsvc.blend.reliance import Reliance, effective_counts
from recsvc.blend.weights import Candidates, learn_weights, top_hits
from recsvc.evaluation.groups import by_items_known
from recsvc.evaluation.metrics import accuracy, bootstrap
from recsvc.evaluation.splits import MANY, id_numbers, row_numbers
from recsvc.evidence import EvidenceKind
from recsvc.signals.metapath import usable_metapaths
from recsvc.signals.pagerank import PAGERANK

_SHARES = ((0.02, 0.1), (0.06, 0.5))
"""Where at most so much is held out, of what is left, a fit on everything goes on from the one on
what is left, for so much of its training (docs/decisions/0026)."""


def learn(parts: Parts, split: ValidationSplit) -> Learned:
    """Make the signals from what is left, and learn epochs and weights on what is held out.

    Where that is too little to learn from, they are the usual ones, and nothing is measured.

    Raises:
        TrainingError: a model cannot be fitted.
    """
    return parts.journal.kept("weights", lambda: _learn(parts, split))


def _learn(parts: Parts, split: ValidationSplit) -> Learned:
    able = int(split.has_many.sum())
    if able < LEAST_USERS:
        return _usual(
            parts,
            split,
            f"{able} users have {MANY} different items or more, {LEAST_USERS} are needed",
        )
    signals = split_signals(parts, split)
    with parts.journal.step("weights"):
        candidates = signals.candidates()
        if not candidates.features.any():
            return _usual(parts, split, "no signal finds anything of what is held out")
        weights, reliance = learned_blend(signals, candidates)
        for_new = learned_for_new(signals, weights, reliance)
        by_user = validation_accuracy(relied(candidates, signals.relied(reliance)), weights)
        metrics = {name: dict(bootstrap(values, 1000, 0)) for name, values in by_user.items()}
        groups = by_items_known(
            np.diff(split.kept.indptr)[split.users], by_user["hybrid"], by_user[BASE],
            {name: by_user[name] for name in signals.kinds},
        )  # fmt: skip
    validated = Validated(
        id_numbers(split.graph.users)[split.users],
        by_user["hybrid"]["ndcg@20"],
        row_numbers(split.held_out[split.users], id_numbers(split.graph.items)),
    )
    goes_on = tables_to_go_on(signals)
    return Learned(weights, signals.epochs, metrics, validated, groups, *goes_on, reliance, for_new)


def tables_to_go_on(signals: SplitSignals) -> tuple[Mapping[str, Tables], float]:
    """What the fits on everything go on from, by model, and for how much of a fit's training."""
    held_out = signals.split.held_out.nnz / signals.split.kept.nnz
    share = next((share for most, share in _SHARES if held_out <= most), 1.0)
    return (signals.tables if share < 1.0 else {}), share


def _usual(parts: Parts, split: ValidationSplit, why: str) -> Learned:
    """The weights of a blend that nothing can be learned for.

    Signals that start from items share 1 among them. Others stand beside popularity, which counts
    what is usual, and so does with little known.
    """
    models = parts.options.models if split.kept.nnz else ()
    kinds: dict[str, EvidenceKind] = dict.fromkeys((*models, PAGERANK), "item")
    kinds |= usable_metapaths(parts.queries)
    share = 1.0 / sum(kind == "item" for kind in kinds.values())
    weights = {name: share if kind == "item" else USUAL_BASE for name, kind in kinds.items()}
    nobody, number = np.zeros(0, np.int64), np.zeros(0)
    return Learned(
        weights | {BASE: USUAL_BASE}, {}, {}, Validated(nobody, number, nobody),
        reliance=USUAL, unlearned=why,
    )  # fmt: skip


def learned_blend(
    signals: SplitSignals, candidates: Candidates
) -> tuple[dict[str, float], Reliance]:
    """λ by signal, on all that is known of the users; then λ_base and the exponents, on parts.

    A meta-path that has raw scores alone takes no part in the second. What no validation user
    follows or prefers cannot be weighed: for somebody who does, it stands beside popularity.
    """
    weights = usual_weights(signals, candidates, signals.kinds)
    held_out = signals.split.held_out[signals.split.users]
    users = cut_users(signals.signals, weights, signals.prior, signals.given, held_out)
    base, reliance = learned_reliance(users, weights[BASE])
    unheard = {
        name: base
        for (name, kind), values in zip(signals.kinds.items(), candidates.features, strict=False)
        if kind != "item" and not values.any()
    }
    return weights | unheard | {BASE: base}, reliance


def usual_weights(
    signals: SplitSignals, candidates: Candidates, kinds: Mapping[str, EvidenceKind]
) -> dict[str, float]:
    """λ by signal, learned on the users with many items.

    It is learned without factors. What followed users say then counts for what is usual, so its λ
    is divided by the mean of that factor.

    Args:
        signals: whose users these are.
        candidates: of all of them; their features are some of the signals, then the prior.
        kinds: the evidence that each of these signals starts from.
    """
    weights = learned_weights(candidates.of_users(np.flatnonzero(signals.many)), kinds)
    counts = effective_counts(signals.given)[:, signals.many]
    follow = counts[:, counts[1] > 0.0]
    for name, kind in kinds.items():
        if kind == "user" and follow.size:
            mean = float(USUAL.signal(name, kind, *follow).mean())
            weights[name] = max(LEAST_APART, weights[name] / mean)
    return weights


def learned_weights(candidates: Candidates, kinds: Mapping[str, EvidenceKind]) -> dict[str, float]:
    """λ by signal, the least one for a signal that is of no use or says nothing.

    Args:
        candidates: their features are these signals, then the prior.
        kinds: the evidence that each signal starts from.
    """
    names = [*kinds, BASE]
    heard = [place for place, values in enumerate(candidates.features) if values.any()]
    learnable = replace(candidates, features=candidates.features[heard])
    learned, _ = learn_weights(learnable, [names[place] for place in heard])
    apart = {name for name, kind in kinds.items() if kind != "item"}
    return {
        name: max(learned.get(name, 0.0), LEAST_APART if name in apart else LEAST_WEIGHT)
        for name in names
    }


def relied(
    candidates: Candidates, factors: Float32[NDArray[np.float32], "signals users"]
) -> Candidates:
    """The candidates with r_s(u) in their features."""
    return replace(candidates, features=candidates.features * factors[:, :, None])


def validation_accuracy(
    candidates: Candidates, weights: Mapping[str, float]
) -> dict[str, dict[str, Float64[NDArray[np.float64], " users"]]]:
    """Recall@20 and NDCG@20 for each user, of each signal and of the blend as `hybrid`.

    What a signal says nothing about it does not find.
    """
    blend = np.tensordot(np.array(list(weights.values()), np.float32), candidates.features, axes=1)
    by_user: dict[str, dict[str, Float64[NDArray[np.float64], " users"]]] = {}
    for name, values in zip([*weights, "hybrid"], [*candidates.features, blend], strict=True):
        said = candidates.present & (values != 0.0)
        ranked = replace(candidates, present=said, relevant=candidates.relevant & said)
        metrics = accuracy(top_hits(ranked, values, 20), candidates.n_relevant)
        by_user[name] = {"recall@20": metrics["recall"], "ndcg@20": metrics["ndcg"]}
    return by_user
