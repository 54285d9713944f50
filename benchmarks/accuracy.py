"""Recall@20 and NDCG@20 of every model on one data set, and what follows and categories add.

    python benchmarks/accuracy.py DATASET [MODEL …] [--protocol published|validated]
                                  [--seeds 0 1 2] [--set model.name=value …] [--data DIR]

The data sets are gowalla (LightGCN's published split), lastfm, ml-100k, sepgcn-gowalla (split by
time) and ciao; DIR holds a folder of each. All items are ranked but those of the training part, for
every user with something to find. Options and λ are chosen on a part of the training table; the
test table is looked at once for each model and seed. A seed decides the split (but for the
published ones) and the training.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from _environment import describe

from benchmarks._accuracy_data import DATA, DATASETS, Split, read_split
from recsvc.evaluation import Estimate, Evaluation, evaluate, paired_difference
from recsvc.models import MODELS
from recsvc.trial import TrialData, TrialOptions, rank_fitted

METRICS = ("recall@20", "ndcg@20")
SIDES: Mapping[str, str] = {
    "hybrid without either": "hybrid.signals=",
    "hybrid with follows": "hybrid.signals=follows",
    "hybrid with categories": "hybrid.signals=categories",
    "hybrid with both": "hybrid.signals=follows,categories",
}
"""The blends that are compared where a data set has follows and categories."""


def main() -> None:
    """Split, fit, rank, measure; print a line for each model and seed."""
    options = _arguments()
    print(describe(), flush=True)
    for seed in options.seeds:
        split, data = read_split(options.dataset, options.data, seed)
        _print_head(options.dataset, split, data)
        chosen = TrialOptions(options.protocol, options.trials, seed, assignments=options.set)
        for model in options.models:
            _measured(model, model, data, chosen)
        if split.side and not options.no_sides:
            _compare_sides(data, replace(chosen, protocol="validated"))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("models", nargs="*", default=sorted(MODELS), metavar="MODEL")
    parser.add_argument("--protocol", choices=("published", "validated"), default="validated")
    parser.add_argument("--trials", type=int, help="options tried on the validation part")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--no-sides", action="store_true", help="leave the comparison out")
    parser.add_argument("--data", type=Path, default=DATA)
    return parser.parse_args()


def _print_head(name: str, split: Split, data: TrialData) -> None:
    graph = data.graph
    print(
        f"\n{name}: {split.how}\n{len(graph.users):,} users, {len(graph.items):,} items, "
        f"{data.evidence.nnz:,} pairs to learn from, {data.held_out.nnz:,} to find, "
        f"{len(graph.follows):,} follows, {len(graph.in_category):,} category links\n"
        f"{'':24s} {'Recall@20':26s} {'NDCG@20':26s} seconds",
        flush=True,
    )


def _measured(shown: str, model: str, data: TrialData, options: TrialOptions) -> Evaluation:
    started = time.perf_counter()
    ranked = rank_fitted(model, data, options)
    seconds = time.perf_counter() - started
    found = evaluate(ranked.ranking, data.held_out, data.evidence, cuts=(20,))
    cells = "  ".join(_cell(found.estimates[name]) for name in METRICS)
    print(f"{shown:24s} {cells}  {seconds:6.0f}  {_decided(ranked.details)}", flush=True)
    return found


def _compare_sides(data: TrialData, options: TrialOptions) -> None:
    """What follows and categories add: the same users, so the difference is a paired one."""
    print("\nwhat follows and categories add", flush=True)
    given = [one for one in options.assignments if not one.startswith("hybrid.signals=")]
    found = {
        shown: _measured(shown, "hybrid", data, replace(options, assignments=[*given, signals]))
        for shown, signals in SIDES.items()
    }
    without, *others = found
    for shown in others:
        for who, users in _groups(data, found[without]):
            print(f"{shown:24s} {who}: {_difference(found[shown], found[without], users)}")


def _groups(
    data: TrialData, found: Evaluation
) -> Iterator[tuple[str, np.ndarray[tuple[int], np.dtype[np.bool_]]]]:
    """Everybody, and those who follow somebody."""
    follow = np.isin(found.user_index, data.graph.follows.source)
    yield f"all {len(follow):,} users", np.ones(len(follow), bool)
    yield f"the {follow.sum():,} who follow somebody", follow


def _difference(
    a: Evaluation, b: Evaluation, users: np.ndarray[tuple[int], np.dtype[np.bool_]]
) -> str:
    kept = [
        replace(
            one,
            user_index=one.user_index[users],
            per_user={name: one.per_user[name][users] for name in METRICS},
        )
        for one in (a, b)
    ]
    by = paired_difference(kept[0], kept[1])
    return ", ".join(f"{name} {_cell(by[name], '+.4f')}" for name in METRICS)


def _cell(found: Estimate, form: str = ".4f") -> str:
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
