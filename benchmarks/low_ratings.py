"""What a low rating is best taken for: evidence for the item, none, a little, or against it.

    python benchmarks/low_ratings.py DATASET [--seeds 0 1] [--data DIR]

DATASET is ml-100k, ml-latest-small, ciao or ciao-4 (5-core). A fifth of each user's ratings is held
out; those of 4 and more of it are to be found, among all items but those of the training table. A
rating is low below 3, and in ciao-4 below 4, as papers read Epinions. The blend of `ridge`,
PageRank, meta-paths and popularity learns its λ anew each time. A difference is from the rule that
is served, a rating by its square root; it is paired over users, with a 95% interval by bootstrap.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import polars as pl
from _environment import describe

from benchmarks._accuracy_data import DATA, PAIR, core, random_split, table, write
from loaders.datasets import open_source
from loaders.tables import CATEGORIES, FOLLOWS, INTERACTIONS, ITEM_CATEGORIES
from recsvc.evaluation.metrics import Estimate, Evaluation, bootstrap, evaluate
from recsvc.event_kinds import EventSettings
from recsvc.training.experiment import TrialOptions, rank_fitted, read_trial

LIKED = 4.0
METRICS = ("ndcg@20", "recall@20")
_RATING = EventSettings(exponent=0.5)
WAYS: Mapping[str, EventSettings] = {
    "square root": _RATING,
    "a quarter of it": EventSettings(weight=0.25, exponent=0.5),
    "nothing": EventSettings(weight=0.0),
    "against, -0.2": EventSettings(weight=-0.2),
    "against, -1": EventSettings(weight=-1.0),
}
"""What a low rating counts; every other counts by its square root."""
SOURCES = {
    "ml-100k": ("movielens-100k", "ml-100k", 3.0),
    "ml-latest-small": ("movielens-latest-small", "ml-latest-small", 3.0),
    "ciao": ("ciao", "ciao", 3.0),
    "ciao-4": ("ciao", "ciao", 4.0),
}
"""Data set, folder, and below what a rating is low."""


def main() -> None:
    """Split, fit in every way, and print a line for each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset", choices=SOURCES)
    parser.add_argument("--seeds", nargs="*", type=int, default=[0, 1])
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    print(describe(), flush=True)
    for seed in given.seeds:
        with tempfile.TemporaryDirectory() as folder:
            _measure(given.dataset, given.data, Path(folder), seed)


def _measure(dataset: str, data: Path, folder: Path, seed: int) -> None:
    name, source_folder, least = SOURCES[dataset]
    source = open_source(name, data / source_folder)
    ratings = core(
        table(source, INTERACTIONS)
        .filter(pl.col("event") == "rating")
        .unique(PAIR, keep="first", maintain_order=True)
    )
    low = pl.col("value") < least
    ratings = ratings.with_columns(event=pl.when(low).then(pl.lit("low")).otherwise("event"))
    train, test = random_split(ratings, seed)
    test = test.filter(pl.col("value") >= LIKED)
    side = {}
    if dataset.startswith("ciao"):
        here = {
            name: pl.col(name).is_in(ratings[of].unique().implode())
            for name, of in (("follower_id", "user_id"), ("followee_id", "user_id"),
                             ("item_id", "item_id"))
        }  # fmt: skip
        side = {
            CATEGORIES: table(source, CATEGORIES),
            ITEM_CATEGORIES: table(source, ITEM_CATEGORIES).filter(here["item_id"]),
            FOLLOWS: table(source, FOLLOWS).filter(here["follower_id"] & here["followee_id"]),
        }
    split = write(folder, train, test, side, f"seed {seed}")
    share = train.filter(low).height / train.height
    print(f"{dataset}, seed {seed}: {train.height:,} ratings, {share:.0%} low", flush=True)
    served: Evaluation | None = None
    for way, settings in WAYS.items():
        events = {"rating": _RATING, "low": settings}
        trial = read_trial(split.train, split.test, str(split.side) if side else None, events)
        options = TrialOptions(
            seed=seed, trials=1, assignments=("hybrid.models=ridge", "hybrid.validation_users=1000")
        )
        ranked = rank_fitted("hybrid", trial, options)
        found = evaluate(ranked.ranking, trial.held_out, trial.evidence, cuts=(20,))
        served = served or found
        print(f"  {way:16} {_shown(found, served)}  {len(found.user_index)} users", flush=True)


def _shown(found: Evaluation, served: Evaluation) -> str:
    """Each metric, and by how much it is above that of what is served, over users of both."""
    if list(found.user_index) != list(served.user_index):
        raise ValueError("the ways were measured on different users")
    change = bootstrap({m: found.per_user[m] - served.per_user[m] for m in METRICS}, 2_000, 0)
    return "  ".join(
        f"{name} {found.estimates[name].mean:.4f} {_interval(change[name])}" for name in METRICS
    )


def _interval(change: Estimate) -> str:
    return f"{change.mean:+.4f} ({change.low:+.4f} to {change.high:+.4f})"


if __name__ == "__main__":
    main()
