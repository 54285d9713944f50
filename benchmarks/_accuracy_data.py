"""The data sets of accuracy.py, each split into a training and a test table with side tables.

What a split must not do is tell the answer: no interaction is in both tables, and no side table is
made of what is held out.
"""

import shutil
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from loaders.datasets import open_source
from loaders.datasets.lastfm import LastfmTables
from loaders.shared_files import checkout_root
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    RELATED_ITEMS,
    Rejected,
    Tables,
    TableSpec,
    read_interactions,
)
from loaders.types import NO_PROPERTIES, PropertyNames
from recsvc.blend.hold_out import ValidationSplit
from recsvc.models.hybrid import HybridOptions
from recsvc.settings import load_settings
from recsvc.training.experiment import TrialData, read_trial

DATA = (checkout_root() or Path.cwd()).parent / "shared" / "data"
"""Where the data sets lie, a folder each."""
SHARE = 0.2
"""Held out of each user's items where the split is made here."""
LEAST = 5
"""Users with fewer items keep them all; Ciao is cut to users and items with as many."""
PAIR = ["user_id", "item_id"]
LASTFM = "hetrec2011-lastfm-2k"
HOLD_OUT = 1000
"""Added to the seed of a split for the split inside its training part."""


@dataclass(frozen=True)
class Split:
    """Where the tables are, and how they came to be.

    Attributes:
        train: interactions to learn from.
        test: interactions to find.
        side: folder with follows and categories; None where there are none.
        how: one line about the split.
    """

    train: Path
    test: Path
    side: Path | None
    how: str


def lastfm(data: Path, folder: Path, seed: int) -> Split:
    """Last.fm; a tagging is made by a listener.

    The taggings behind held-out listens are left out of the categories: they would give the
    answer away.
    """
    source = LastfmTables(data / LASTFM)
    train, test = random_split(table(source, INTERACTIONS), seed)
    how = f"{SHARE:.0%} of each user's artists, seed {seed}"
    return _lastfm_tables(data, folder, (train, test, test), how)


def lastfm_hold_out(data: Path, folder: Path, seed: int) -> Split:
    """The training part of `lastfm`, split once more: λ is learned on it.

    A blend makes such a split itself, but out of the graph, where nothing says who made a tag. So
    the taggings behind what it holds out would remain, and favour the categories.
    """
    source = LastfmTables(data / LASTFM)
    train, test = random_split(table(source, INTERACTIONS), seed)
    share = HybridOptions().held_out_share
    kept, held_out = random_split(train, seed + HOLD_OUT, share)
    hidden = pl.concat([test, held_out])
    return _lastfm_tables(data, folder, (kept, held_out, hidden), "the training part split again")


def _lastfm_tables(
    data: Path, folder: Path, parts: tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame], how: str
) -> Split:
    """Train, test, and the pairs whose taggings are left out."""
    train, test, hidden = parts
    source = LastfmTables(data / LASTFM)
    without = LastfmTables(data / LASTFM, held_out=hidden.select(PAIR))
    side = {spec: table(source, spec) for spec in (ITEMS, CATEGORIES, FOLLOWS)}
    side[ITEM_CATEGORIES] = table(without, ITEM_CATEGORIES)
    return write(folder, train, test, side, how)


def gowalla(data: Path, folder: Path, seed: int) -> Split:
    """The published split of LightGCN (He et al. 2020), as it is."""
    unpack(data / "lightgcn-gowalla", folder)
    train, test = (next(folder.rglob(name)) for name in ("train.txt", "test.txt"))
    return Split(train, test, None, "published split")


def ml_100k(data: Path, folder: Path, seed: int) -> Split:
    """MovieLens 100K, every rating an interaction, in LightGCN's text form."""
    ratings = table(open_source("movielens-100k", data / "ml-100k"), INTERACTIONS)
    paths = []
    for name, part in zip(("train", "test"), random_split(ratings, seed), strict=True):
        path = folder / f"{name}.txt"
        lines = part.group_by("user_id", maintain_order=True).agg(pl.col("item_id").sort())
        path.write_text("".join(f"{user} {' '.join(items)}\n" for user, items in lines.iter_rows()))
        paths.append(path)
    return Split(paths[0], paths[1], None, f"{SHARE:.0%} of each user's films, seed {seed}")


def sepgcn_gowalla(data: Path, folder: Path, seed: int) -> Split:
    """SEP-GCN's Gowalla: each user's last check-ins are the test, as published.

    Who was a friend is not dated; a spot that a user has in train is not looked for again.
    """
    files = folder / "files"
    unpack(data / "sepgcn-gowalla", files)
    unpack(data / "gowalla-friends-partial", files)
    source = open_source("gowalla", files)
    train = table(source, INTERACTIONS)
    test = read_interactions(next(files.rglob("test.txt"))).unique(PAIR).sort(PAIR)
    test = test.join(train.select(PAIR), on=PAIR, how="anti")
    side = {spec: table(source, spec) for spec in (ITEMS, CATEGORIES, ITEM_CATEGORIES, FOLLOWS)}
    return write(
        folder / "tables", train, test, side,
        "published split by time, the last 30% of each user's check-ins; new spots only",
    )  # fmt: skip


def retailrocket(data: Path, folder: Path, seed: int) -> Split:
    """RetailRocket as SSLRec prepared it: views, carts and purchases, the last items held out."""
    return _in_order("retailrocket", data / "retailrocket-sslrec", folder)


def taobao(data: Path, folder: Path, seed: int) -> Split:
    """A sample of Taobao's UserBehavior: views, carts, favourites and purchases, the same way."""
    return _in_order("taobao", data / "taobao-userbehavior-sample", folder)


def _in_order(name: str, archives: Path, folder: Path) -> Split:
    """The last items of each user are held out, with all that was done with them."""
    unpack(archives, folder / "files")
    source = open_source(name, next((folder / "files").rglob("*.*")).parent)
    interactions = table(source, INTERACTIONS)
    pairs = core(interactions.select(PAIR).unique().sort(PAIR), least=2)
    train, test = latest_split(interactions.join(pairs, on=PAIR, how="semi"))
    known = pairs["item_id"].unique().implode()
    side = {
        spec: table(source, spec).filter(pl.col("item_id").is_in(known))
        if spec is ITEM_CATEGORIES
        else table(source, spec)
        for spec in (CATEGORIES, ITEM_CATEGORIES)
        if spec in source.specs
    }
    how = f"items of 2 people or more, the last {SHARE:.0%} of each user's items"
    return write(folder / "tables", train, test, side, how)


def ciao(data: Path, folder: Path, seed: int) -> Split:
    """Ciao, its products and users with 5 ratings or more; a category is the product's own."""
    source = open_source("ciao", data / "ciao")
    ratings = core(table(source, INTERACTIONS).unique(PAIR, keep="first", maintain_order=True))
    how = f"{LEAST}-core, {SHARE:.0%} of each user's products, seed {seed}"
    return _ciao_tables(source, folder, random_split(ratings, seed), how)


def _ciao_tables(
    source: Tables, folder: Path, parts: tuple[pl.DataFrame, pl.DataFrame], how: str
) -> Split:
    """Train and test, with the categories and follows of those who are in them."""
    ratings = pl.concat(parts)
    kept = table(source, ITEM_CATEGORIES).filter(
        pl.col("item_id").is_in(ratings["item_id"].unique().implode())
    )
    users = ratings["user_id"].unique().implode()
    follows = table(source, FOLLOWS).filter(
        pl.col("follower_id").is_in(users) & pl.col("followee_id").is_in(users)
    )
    side = {CATEGORIES: table(source, CATEGORIES), ITEM_CATEGORIES: kept, FOLLOWS: follows}
    return write(folder, *parts, side, how)


def amazon(data: Path, folder: Path, seed: int) -> Split:
    """Five small categories of Amazon's reviews of 2018, each a 5-core, as one shop.

    What a review has besides its stars (votes, whether it is verified, its length) is in the
    training table alone. Metadata is there for one category.
    """
    source = open_source("amazon", data / "amazon2018-small-5core")
    rated = table(source, INTERACTIONS).unique(PAIR, keep="last", maintain_order=True)
    items = rated["item_id"].unique().implode()
    known = {
        ITEMS: table(source, ITEMS).filter(pl.col("item_id").is_in(items)),
        CATEGORIES: table(source, CATEGORIES),
        ITEM_CATEGORIES: table(source, ITEM_CATEGORIES).filter(pl.col("item_id").is_in(items)),
        RELATED_ITEMS: table(source, RELATED_ITEMS).filter(
            pl.col("item_id").is_in(items) & pl.col("related_id").is_in(items)
        ),
    }
    how = f"{SHARE:.0%} of each user's products, seed {seed}"
    return write(folder, *random_split(rated, seed), known, how)


DATASETS: Mapping[str, Callable[[Path, Path, int], Split]] = {
    "amazon": amazon,
    "lastfm": lastfm,
    "gowalla": gowalla,
    "ml-100k": ml_100k,
    "sepgcn-gowalla": sepgcn_gowalla,
    "retailrocket": retailrocket,
    "taobao": taobao,
    "ciao": ciao,
}
IN_ORDER = ("sepgcn-gowalla", "retailrocket", "taobao")
"""Those of which the test table is what came later."""


def read_split(
    name: str, data: Path, seed: int, properties: PropertyNames = NO_PROPERTIES
) -> tuple[Split, TrialData]:
    """A data set, split and read.

    Args:
        name: one of `DATASETS`.
        data: holds a folder of each data set.
        seed: of the split, where it is made here.
        properties: what models learn from besides.

    Raises:
        TableError: a file of the data set cannot be read.
    """
    with tempfile.TemporaryDirectory() as folder:
        split = DATASETS[name](data, Path(folder), seed)
        side = str(split.side) if split.side else None
        events = load_settings().events
        return split, read_trial(split.train, split.test, side, events, properties)


def read_hold_out(name: str, data: Path, seed: int) -> ValidationSplit | None:
    """What λ is learned on where a blend cannot make that split by itself; else None.

    Raises:
        TableError: a file of the data set cannot be read.
    """
    if name != "lastfm":
        return None
    with tempfile.TemporaryDirectory() as folder:
        split = lastfm_hold_out(data, Path(folder), seed)
        found = read_trial(split.train, split.test, str(split.side), load_settings().events)
    return ValidationSplit(found.users, found.graph, found.evidence, found.held_out)


def random_split(
    interactions: pl.DataFrame, seed: int, share: float = SHARE
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A random share of each user's items goes to the test, with all events on them."""
    pairs = interactions.select(PAIR).unique().sort(PAIR)
    draw = pl.Series("draw", np.random.default_rng(seed).random(pairs.height))
    order = pl.col("draw").rank("ordinal").over("user_id")
    count = pl.len().over("user_id")
    chosen = (count >= LEAST) & (order <= (count * share).round())
    held_out = pairs.with_columns(draw).filter(chosen).select(PAIR)
    ordered = interactions.sort(PAIR)
    return (
        ordered.join(held_out, on=PAIR, how="anti", maintain_order="left"),
        ordered.join(held_out, on=PAIR, how="semi", maintain_order="left"),
    )


def latest_split(
    interactions: pl.DataFrame, share: float = SHARE
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The latest share of each user's items goes to the test, with all events on them."""
    pairs = interactions.group_by(PAIR).agg(pl.col("timestamp").max()).sort(PAIR)
    order = pl.col("timestamp").rank("ordinal", descending=True).over("user_id")
    count = pl.len().over("user_id")
    held_out = pairs.filter((count >= LEAST) & (order <= (count * share).round())).select(PAIR)
    ordered = interactions.sort(PAIR)
    return (
        ordered.join(held_out, on=PAIR, how="anti", maintain_order="left"),
        ordered.join(held_out, on=PAIR, how="semi", maintain_order="left"),
    )


def core(interactions: pl.DataFrame, least: int = LEAST) -> pl.DataFrame:
    """Drop users with fewer interactions than `LEAST`, and items with fewer, until all have."""
    while True:
        enough = (pl.len().over("user_id") >= LEAST) & (pl.len().over("item_id") >= least)
        kept = interactions.filter(enough)
        if kept.height == interactions.height:
            return kept
        interactions = kept


def table(source: Tables, spec: TableSpec) -> pl.DataFrame:
    """One table, whole."""
    return pl.concat(list(source.batches(spec, _ignore)))


def _ignore(_rejected: Rejected) -> None:
    """Rows that are bad in the published files are counted by the tests of the readers."""


def unpack(archives: Path, folder: Path) -> None:
    """Lay the files of a data set out in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for archive in archives.glob("*.tar.xz"):
        shutil.unpack_archive(archive, folder, filter="data")


def write(
    folder: Path,
    train: pl.DataFrame,
    test: pl.DataFrame,
    side: Mapping[TableSpec, pl.DataFrame],
    how: str,
) -> Split:
    """Write the tables.

    Raises:
        ValueError: an interaction is in both tables.
    """
    shared = train.select(PAIR).join(test.select(PAIR), on=PAIR, how="semi")
    if shared.height:
        raise ValueError(f"{shared.height} pairs are in train and in test: they tell the answer")
    folder.mkdir(parents=True, exist_ok=True)
    columns = ["user_id", "item_id", "event", "value", "timestamp"]
    train.drop("event_id", strict=False).write_parquet(folder / "interactions.parquet")
    test.select(columns).write_parquet(folder / "test.parquet")
    for spec, frame in side.items():
        frame.write_parquet(folder / f"{spec.name}.parquet")
    return Split(folder / "interactions.parquet", folder / "test.parquet", folder, how)
