"""Accuracy on Last.fm: 20% of each user's listens held out, every model, full ranking.

    python benchmarks/lastfm_accuracy.py [--seed 0] [MODEL …]

Follows and tags count as well, for those models that use them. A tagging is made by a listener,
so the taggings behind held-out listens are left out of the categories: they would give the
answer away. What cannot be left out: on the validation split that is made inside the training
part, such taggings remain, which favours the categories a little when the blend is learned.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from _environment import describe

from loaders.datasets.lastfm import LastfmTables
from loaders.tables import CATEGORIES, FOLLOWS, INTERACTIONS, ITEM_CATEGORIES, ITEMS

MODELS = ("popularity", "walk3", "lightgcn", "node2vec", "hybrid")
SHARE = 0.2


def main() -> None:
    """Split, run `recsvc evaluate` for each model, print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", default=MODELS)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(describe(), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        tables = split_lastfm(Path(folder), options.seed)
        print(f"seed {options.seed}; model, Recall@20, NDCG@20 with 95% intervals, seconds")
        for model in options.models:
            print(_row(model, tables, options.seed), flush=True)


def split_lastfm(folder: Path, seed: int) -> Path:
    """Write train and test interactions and the side tables without what the test tells."""
    source = LastfmTables()
    frames = {
        spec: pl.concat(list(source.batches(spec, lambda _rejected: None)))
        for spec in (ITEMS, CATEGORIES, FOLLOWS, INTERACTIONS)
    }
    listens = frames[INTERACTIONS].select("user_id", "item_id", "event", "value")
    listens = listens.sort("user_id", "item_id")
    rng = np.random.default_rng(seed)
    listens = (
        listens.with_columns(pl.Series("draw", rng.random(listens.height)))
        .with_columns(
            pl.col("draw").rank("ordinal").over("user_id").alias("order"),
            pl.len().over("user_id").alias("count"),
        )
        .with_columns(
            ((pl.col("count") >= 5) & (pl.col("order") <= (pl.col("count") * SHARE).round())).alias(
                "held_out"
            )
        )
    )
    columns = ["user_id", "item_id", "event", "value"]
    listens.filter(~pl.col("held_out")).select(columns).write_csv(folder / "interactions.csv")
    test = listens.filter("held_out").select(columns)
    test.write_csv(folder / "test.csv")
    for spec in (ITEMS, CATEGORIES, FOLLOWS):
        frames[spec].write_parquet(folder / f"{spec.name}.parquet")
    kept = LastfmTables(held_out=test.select("user_id", "item_id"))
    pl.concat(list(kept.batches(ITEM_CATEGORIES, lambda _rejected: None))).write_parquet(
        folder / "item_categories.parquet"
    )
    return folder


def _row(model: str, tables: Path, seed: int) -> str:
    command = [
        sys.executable, "-m", "recsvc", "evaluate", model, "--train",
        str(tables / "interactions.csv"), "--test", str(tables / "test.csv"), "--side",
        str(tables), "--seed", str(seed), "--json",
    ]  # fmt: skip
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found = json.loads(done.stdout)
    cells = [
        "{mean:.4f} [{low:.4f}, {high:.4f}]".format(**found["metrics"][name])
        for name in ("recall@20", "ndcg@20")
    ]
    return f"{model:12s} {'  '.join(cells)}  {found['total_seconds']:.0f} s  {_decided(found)}"


def _decided(found: dict[str, object]) -> str:
    if "weights" in found:
        weights = found["weights"]
        assert isinstance(weights, dict)
        return "λ " + ", ".join(f"{name} {value:.3f}" for name, value in weights.items())
    return f"epochs {found['epochs']}" if found.get("epochs") else ""


if __name__ == "__main__":
    main()
