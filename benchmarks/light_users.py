"""NDCG@20 by how much is known of a user: the blend, beside popularity and each part alone.

    python benchmarks/light_users.py DATASET [SEED] [--set hybrid.name=value …] [--data DIR]

DATASET is ciao (ratings of 3 and more, products with 3 ratings, users with 5), lastfm, ml-100k,
amazon (five small categories, 5-core), retailrocket or sepgcn-gowalla. Of 30% of the users 1 to 3
items are in the training table, of the others 80%; the rest is looked for, among all items but
those of the training table. Differences are paired, over the users of a group, with 95% intervals
by bootstrap. The best part is the best of that group.
"""

import argparse
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl
from _environment import describe

from benchmarks._accuracy_data import DATA, PAIR, Split, cold_tables
from benchmarks.accuracy import ranked_together
from recsvc.blend.reliance import ALIKE
from recsvc.evaluation.groups import BY_ITEMS_KNOWN
from recsvc.evaluation.metrics import bootstrap
from recsvc.models import FitRun
from recsvc.models.hybrid import HybridModel, HybridOptions, fit_without_each
from recsvc.settings import load_settings
from recsvc.training.experiment import TrialData, read_trial
from recsvc.training.fit import assigned, model_options

COLD_SHARE, MOST_KEPT, WARM_SHARE = 0.3, 3, 0.8
RESAMPLES = 2_000


def main() -> None:
    """Split, fit, rank, and print a line for each group."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dataset")
    parser.add_argument("seed", nargs="?", type=int, default=0)
    parser.add_argument("--set", nargs="*", default=[])
    parser.add_argument("--data", type=Path, default=DATA)
    given = parser.parse_args()
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        split = cold_tables(given.dataset, given.data, Path(folder), given.seed, cold_split)
        data = _read(split)
    options = model_options("hybrid", assigned("hybrid", given.set))
    if not isinstance(options, HybridOptions):
        raise TypeError(f"options of hybrid are {type(options).__name__}")
    whole, _, alone = fit_without_each(data.learned_from, options, FitRun(given.seed))
    weights = ", ".join(f"{name} {weight:.3f}" for name, weight in whole.weights.items())
    print(f"{given.dataset}, seed {given.seed}\nλ: {weights}\n{whole.blend.reliance}", flush=True)
    shown = {"hybrid": whole, "popularity": whole.reweighted({}, ALIKE), **alone}
    _print_table(shown, data)


def cold_split(interactions: pl.DataFrame, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The training table, and what is to be found."""
    pairs = interactions.select(PAIR).unique().sort(PAIR)
    rng = np.random.default_rng(seed)
    users = pairs["user_id"].unique().sort()
    cold = pl.DataFrame(
        {
            "user_id": users,
            "cold": rng.random(len(users)) < COLD_SHARE,
            "keep": rng.integers(1, MOST_KEPT + 1, len(users)),
        }
    )
    drawn = pairs.with_columns(draw=pl.Series(rng.random(pairs.height))).join(cold, on="user_id")
    ranked = drawn.with_columns(
        rank=pl.col("draw").rank("ordinal").over("user_id"), count=pl.len().over("user_id")
    )
    kept = (
        pl.when(pl.col("cold") & (pl.col("count") > pl.col("keep")))
        .then(pl.col("keep"))
        .otherwise((pl.col("count") * WARM_SHARE).round().cast(pl.Int64).clip(1))
    )
    held_out = ranked.filter(pl.col("rank") > kept).select(PAIR)
    ordered = interactions.sort(PAIR)
    return (
        ordered.join(held_out, on=PAIR, how="anti", maintain_order="left"),
        ordered.join(held_out, on=PAIR, how="semi", maintain_order="left"),
    )


def _read(split: Split) -> TrialData:
    side = str(split.side) if split.side else None
    return read_trial(split.train, split.test, side, load_settings().events)


def _print_table(models: Mapping[str, HybridModel], data: TrialData) -> None:
    found = {name: one.per_user["ndcg@20"] for name, one in ranked_together(models, data).items()}
    blend, popular = found.pop("hybrid"), found.pop("popularity")
    group = BY_ITEMS_KNOWN.of(np.diff(data.evidence[data.users].indptr))
    rows = [(label, group == n) for n, label in enumerate(BY_ITEMS_KNOWN.labels)]
    print(f"{'items':12}{'users':>6}  hybrid popularity and above it{'':15}the best part")
    for label, own in [*rows, ("all", group >= 0)]:
        if not own.any():
            continue
        best = max(found, key=lambda name: float(found[name][own].mean()))
        print(
            f"{label:12}{own.sum():6d}  {blend[own].mean():.4f}  {popular[own].mean():.4f}  "
            f"{_difference(blend[own] - popular[own])}  {found[best][own].mean():.4f}  "
            f"{_difference(blend[own] - found[best][own])}  {best}",
            flush=True,
        )


def _difference(values: np.ndarray) -> str:
    change = bootstrap({"ndcg": values}, RESAMPLES, 0)["ndcg"]
    return f"{change.mean:+.4f} ({change.low:+.4f} to {change.high:+.4f})"


if __name__ == "__main__":
    main()
