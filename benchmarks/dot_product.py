"""A dot product of two vectors beside similarities that layers learn, on one data set.

    python benchmarks/dot_product.py DATASET [MODEL …] [--trials N] [--set MODEL.NAME=VALUE …]
                                     [--seed N] [--data DIR]

The data sets are those of accuracy.py. Each model tries N options on a part of the training table
and is then fitted on all of it; the test table is looked at once. Differences are paired with the
first model, over the same users. The last column is the median time, on one core, in which all
items are scored for one user.
"""

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from _environment import describe
from threadpoolctl import threadpool_limits

from benchmarks._accuracy_data import DATA, DATASETS, read_split
from recsvc.evaluation.metrics import Estimate, evaluate, paired_difference
from recsvc.models import MODELS, FitRun
from recsvc.training.experiment import TrialData, TrialOptions, rank_fitted

DEFAULT = ["mf", "svd", "gmf", "mlp", "ncf"]
METRICS = ("recall@20", "ndcg@20")
USERS_TIMED = 50


def main() -> None:
    """Fit, rank, measure; print a line for each model."""
    options = _arguments()
    print(describe(), flush=True)
    split, data = read_split(options.dataset, options.data, options.seed)
    print(f"{options.dataset}: {split.how}; {data.evidence.nnz:,} pairs to learn from", flush=True)
    first = None
    chosen = TrialOptions(trials=options.trials, seed=options.seed, assignments=options.set)
    for model in options.models:
        started = time.perf_counter()
        ranked = rank_fitted(model, data, chosen)
        seconds = time.perf_counter() - started
        found = evaluate(ranked.ranking, data.held_out, data.evidence, cuts=(20,))
        first = first or found
        by = paired_difference(found, first)
        cells = [_cell(found.estimates[name]) for name in METRICS]
        cells += [_cell(by[name], "+.4f") for name in METRICS]
        took = _milliseconds(model, data, ranked.details["options"])
        print(f"{model:4s} {'  '.join(cells)}  {seconds:.0f} s  {took:.2f} ms", flush=True)
        print(f"     {_decided(model, ranked.details)}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("models", nargs="*", default=DEFAULT, metavar="MODEL")
    parser.add_argument("--trials", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", action="append", default=[], metavar="MODEL.NAME=VALUE")
    parser.add_argument("--data", type=Path, default=DATA)
    return parser.parse_args()


def _milliseconds(model: str, data: TrialData, options: dict[str, Any]) -> float:
    """To score all items for one user: the options say how much there is to compute."""
    spec = MODELS[model]
    run = FitRun(0, epochs=1)
    fitted, _ = spec.fit(data.learned_from, spec.options.model_validate(options), run)
    times = []
    with threadpool_limits(1):
        for user in data.users[:USERS_TIMED]:
            started = time.perf_counter()
            fitted.scores(np.array([user]), data.evidence[[user]])
            times.append(time.perf_counter() - started)
    return 1000.0 * float(np.median(times))


def _decided(model: str, details: Any) -> str:
    """Epochs, the figure on validation, and the options that were searched."""
    options = details["options"]
    searched = " ".join(f"{name}={_short(options[name])}" for name in MODELS[model].search)
    ndcg = details.get("validation_ndcg@20", float("nan"))
    return f"validation NDCG@20 {ndcg:.4f}, {details['epochs']} epochs, {searched}"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _cell(found: Estimate, form: str = ".4f") -> str:
    return f"{found.mean:{form}} [{found.low:{form}}, {found.high:{form}}]"


if __name__ == "__main__":
    main()
