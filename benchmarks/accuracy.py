"""Recall@20 and NDCG@20 of every model on one data set, and what each signal adds to the blend.

    python benchmarks/accuracy.py DATASET [MODEL …] [--protocol published|validated]
                                  [--seeds 0 1 2] [--set model.name=value …] [--each] [--data DIR]
                                  [--save FILE] [--against FILE]

The data sets are gowalla (LightGCN's published split), lastfm, ml-100k, ciao, amazon, and in order
of time sepgcn-gowalla, retailrocket and taobao; DIR holds a folder of each. All items are ranked
but those of the training part, for every user with something to find. Options and λ are chosen on a
part of the training table, the latest items of users where the test is what came later; the test
table is looked at once for each model and seed. A seed decides the split (but for the published
ones and those in order of time) and the training.

`--each` measures `hybrid` with, and without, each of its signals, and each signal alone. λ is
learned again without the signal; nothing is fitted again. Differences are paired, over the same
users. Over several seeds a user's values are averaged first, and the interval is over users.

`--save` writes each user's values into a file, and `--against` compares with such a file, paired
over the same users. So two states of the code are compared, each by the script of its own checkout.
"""

import argparse
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import scipy.sparse as sp
from _environment import describe
from numpy.typing import NDArray

from benchmarks._accuracy_data import (
    DATA,
    DATASETS,
    IN_ORDER,
    Split,
    read_hold_out,
    read_split,
)
from recsvc.blend.blend import scaled_scores
from recsvc.blend.hold_out import ValidationSplit
from recsvc.blend.reliance import effective_counts
from recsvc.evaluation.metrics import (
    Estimate,
    Evaluation,
    Ranking,
    bootstrap,
    evaluate,
    paired_difference,
    top_k,
)
from recsvc.models import MODELS, FitRun
from recsvc.models.hybrid import HybridModel, HybridOptions, fit_without_each
from recsvc.training.experiment import TrialData, TrialOptions, properties_of, rank_fitted
from recsvc.training.fit import assigned, model_options

if TYPE_CHECKING:
    from recsvc.evaluation.splits import HoldOut
    from recsvc.evidence import EvidenceMatrices

USERS_AT_ONCE = 500
METRICS = ("recall@20", "ndcg@20")
Found = Mapping[str, Evaluation]


class Means(NamedTuple):
    """Values by metric, a mean over seeds for each user.

    Attributes:
        users: their ids, ascending.
        values: one for each of them.
    """

    users: Sequence[str]
    values: Mapping[str, NDArray[np.float64]]


def main() -> None:
    """Split, fit, rank, measure; print a line for each model and seed."""
    options = _arguments()
    print(describe(), flush=True)
    every: dict[str, dict[str, list[dict[str, float]]]] = {}
    for seed in options.seeds:
        which: HoldOut = "latest" if options.dataset in IN_ORDER else "random"
        given = (f"hybrid.hold_out={which}", *options.set)
        chosen = TrialOptions(
            options.protocol, options.trials, seed, assignments=given, hold_out=which
        )
        wanted = properties_of(options.models, chosen)
        split, data = read_split(options.dataset, options.data, seed, wanted)
        _print_head(options.dataset, split, data)
        found = {model: _measured(model, data, chosen) for model in options.models}
        if options.each:
            hold_out = read_hold_out(options.dataset, options.data, seed)
            found |= _each(data, chosen, hold_out)
        _collect(every, found, data)
    means = _means(every)
    if len(options.seeds) > 1:
        _print_pooled(means, options.seeds)
    if options.against:
        _print_against(means, options.against)
    if options.save:
        _save(means, options.save)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("models", nargs="*", metavar="MODEL")
    parser.add_argument("--protocol", choices=("published", "validated"), default="validated")
    parser.add_argument("--trials", type=int, help="options tried on the validation part")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--each", action="store_true", help="what each signal of hybrid adds")
    parser.add_argument("--data", type=Path, default=DATA)
    parser.add_argument("--save", type=Path, metavar="FILE", help="write each user's values")
    parser.add_argument("--against", type=Path, metavar="FILE", help="compare with saved values")
    options = parser.parse_args()
    if not options.models and not options.each:
        options.models = sorted(MODELS)
    return options


def _print_head(name: str, split: Split, data: TrialData) -> None:
    graph = data.graph
    print(
        f"\n{name}: {split.how}\n{len(graph.users):,} users, {len(graph.items):,} items, "
        f"{data.evidence.nnz:,} pairs to learn from, {data.held_out.nnz:,} to find, "
        f"{len(graph.follows):,} follows, {len(graph.in_category):,} category links\n"
        f"{'':26s} {'Recall@20':26s} {'NDCG@20':26s}",
        flush=True,
    )


def _measured(model: str, data: TrialData, options: TrialOptions) -> Evaluation:
    started = time.perf_counter()
    ranked = rank_fitted(model, data, options)
    seconds = time.perf_counter() - started
    found = evaluate(ranked.ranking, data.held_out, data.evidence, cuts=(20,))
    _print_line(model, found.estimates, f"{seconds:.0f} s  {_decided(ranked.details)}")
    return found


def _each(data: TrialData, options: TrialOptions, hold_out: ValidationSplit | None) -> Found:
    """The blend, its signals alone, and the blend without each of them."""
    blend = model_options("hybrid", assigned("hybrid", options.assignments))
    if not isinstance(blend, HybridOptions):
        raise TypeError(f"options of hybrid are {type(blend).__name__}")
    whole, without, alone = fit_without_each(
        data.learned_from, blend, FitRun(options.seed), hold_out
    )
    shown = {"hybrid": whole}
    shown |= {f"{name} alone": model for name, model in alone.items()}
    shown |= {f"without {name}": model for name, model in without.items()}
    found = ranked_together(shown, data)
    weights = ", ".join(f"{name} {weight:.3f}" for name, weight in whole.weights.items())
    for name, one in found.items():
        _print_line(name, one.estimates, f"λ: {weights}" if name == "hybrid" else "")
    for name in without:
        by = paired_difference(found["hybrid"], found[f"without {name}"])
        _print_line(f"  {name} adds", by, "", "+.4f")
    best = _best_alone({name: one.estimates["ndcg@20"].mean for name, one in found.items()})
    _print_line(f"  above {best}", paired_difference(found["hybrid"], found[best]), "", "+.4f")
    return found


def _best_alone(ndcg: Mapping[str, float]) -> str:
    return max((name for name in ndcg if name.endswith(" alone")), key=ndcg.__getitem__)


def ranked_together(models: Mapping[str, HybridModel], data: TrialData) -> Found:
    """Blends of the same signals or some of them: these are asked once for each user."""
    blend, besides = (one := next(iter(models.values()))).blend, one.besides
    parts: dict[str, list[Ranking]] = {name: [] for name in models}
    for users in np.array_split(data.users, -(-len(data.users) // USERS_AT_ONCE)):
        given: EvidenceMatrices = {kind: known[users] for kind, known in besides.items()}
        given = {**given, "item": data.evidence[users]}
        scores = {s.name: scaled_scores(s, s.weighed_of(given)) for s in blend.signals}
        counts = effective_counts(given)
        for name, model in models.items():
            own, relied = model.blend, model.blend.reliance
            total = (own.base_weight * relied.base(counts[0]))[:, None] * own.prior
            for signal, weight in zip(own.signals, own.weights, strict=True):
                factor = weight * relied.signal(signal.name, signal.kind, *counts)
                total += factor[:, None] * scores[signal.name]
            parts[name].append(_best(total.astype(np.float32), users, data))
    return {
        name: evaluate(
            Ranking(
                data.users,
                np.concatenate([part.items for part in several]),
                np.concatenate([part.scores for part in several]),
            ),
            data.held_out,
            data.evidence,
            cuts=(20,),
        )
        for name, several in parts.items()
    }


def _best(scores: NDArray[np.float32], users: NDArray[np.int64], data: TrialData) -> Ranking:
    """The 20 best of each row."""

    def score(some: NDArray[np.int64], _evidence: sp.csr_matrix) -> NDArray[np.float32]:
        return scores[np.searchsorted(users, some)]

    return top_k(score, data.evidence, k=20, user_index=users, seen=data.seen)


def _collect(
    every: dict[str, dict[str, list[dict[str, float]]]],
    found: Found,
    data: TrialData,
) -> None:
    for shown, one in found.items():
        by_user = every.setdefault(shown, defaultdict(list))
        values = np.stack([one.per_user[name] for name in METRICS], axis=1)
        for user, value in zip(one.user_index.tolist(), values.tolist(), strict=True):
            by_user[data.graph.users[user]].append(dict(zip(METRICS, value, strict=True)))


def _means(every: Mapping[str, Mapping[str, Sequence[Mapping[str, float]]]]) -> dict[str, Means]:
    """The means over seeds, by what was measured."""
    return {
        shown: Means(
            users := sorted(by_user),
            {
                name: np.array([np.mean([v[name] for v in by_user[u]]) for u in users], np.float64)
                for name in METRICS
            },
        )
        for shown, by_user in every.items()
    }


def _save(means: Mapping[str, Means], path: Path) -> None:
    arrays = {f"{shown}/users": np.array(each.users) for shown, each in means.items()}
    for shown, each in means.items():
        arrays |= {f"{shown}/{name}": values for name, values in each.values.items()}
    with path.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays)


def _print_against(means: Mapping[str, Means], path: Path) -> None:
    """By how much what was measured is above what is in a file.

    Raises:
        ValueError: they are of different users.
    """
    print(f"\nabove {path.name}", flush=True)
    with np.load(path) as before:
        for shown, own in means.items():
            if f"{shown}/users" not in before:
                continue
            if before[f"{shown}/users"].tolist() != list(own.users):
                raise ValueError(f"{path} has other users: give the same data set and seeds")
            by = {name: own.values[name] - before[f"{shown}/{name}"] for name in METRICS}
            _print_line(shown, bootstrap(by, 1000, 0), "", "+.4f")


def _print_pooled(means: Mapping[str, Means], seeds: Sequence[int]) -> None:
    """Means over seeds, the interval over users."""
    print(f"\nseeds {', '.join(map(str, seeds))} together", flush=True)
    for shown, each in means.items():
        _print_line(shown, bootstrap(each.values, 1000, 0), "")
    if not any(name.endswith(" alone") for name in means):
        return
    others = {f"  {n.removeprefix('without ')} adds": n for n in means if n.startswith("without ")}
    best = _best_alone({name: float(each.values["ndcg@20"].mean()) for name, each in means.items()})
    for shown, other in {**others, f"  above {best}": best}.items():
        by = {name: means["hybrid"].values[name] - means[other].values[name] for name in METRICS}
        _print_line(shown, bootstrap(by, 1000, 0), "", "+.4f")


def _print_line(shown: str, found: Mapping[str, Estimate], note: str, form: str = ".4f") -> None:
    cells = "  ".join(_cell(found[name], form) for name in METRICS)
    print(f"{shown:26s} {cells}  {note}".rstrip(), flush=True)


def _cell(found: Estimate, form: str) -> str:
    return f"{found.mean:{form}} [{found.low:{form}}, {found.high:{form}}]"


def _decided(details: Mapping[str, object]) -> str:
    """Epochs, λ and the options that are not the defaults."""
    shown: Sequence[str] = [
        f"{name} {value}"
        for name, value in details.items()
        if name in ("epochs", "weights") and value
    ]
    return ", ".join(shown)


if __name__ == "__main__":
    main()
