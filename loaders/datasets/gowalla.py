"""Gowalla: who checked in where, and who was friends with whom.

Cho, Myers, Leskovec: Friendship and Mobility: User Movement in Location-Based Social Networks,
KDD 2011; published by SNAP. Read in three forms: SNAP's own check-ins, LightGCN's split of them
into `train.txt` and `test.txt` (He et al., SIGIR 2020), and SEP-GCN's with times and kinds of
spots (ICTIR 2025). SNAP's file of friendships goes with each of them.
"""

from collections.abc import Iterator
from itertools import count, zip_longest
from pathlib import Path

import polars as pl

from loaders.datasets._download import DataSet, Publication
from loaders.datasets._files import SourceFiles
from loaders.datasets._lines import NUMBER, LineForm, numbered_lines
from loaders.datasets._stream import (
    Read,
    StreamTables,
    columns,
    distinct,
    distinct_table_of,
    gathered,
    ignore,
    rows_of,
    table_of,
)
from loaders.errors import TableError
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    USERS,
    Reason,
    Reject,
    Rejected,
    Tables,
    TableSpec,
)
from loaders.tables._check import checked_batch
from loaders.tables._raw import RawBatch, shown_text
from loaders.tables._spec import BATCH_ROWS

EVENT = "checkin"
"""Kind of the interactions."""
_CHECKIN_FILES = ("loc-gowalla_totalCheckins.txt", "Gowalla_totalCheckins.txt")
_FRIEND_FILES = ("loc-gowalla_edges.txt", "Gowalla_edges.txt")
_CHECKINS = LineForm(
    ("user", "time", "latitude", "longitude", "location"),
    "\t",
    parsers={"latitude": NUMBER, "longitude": NUMBER},
)
_FRIENDS = LineForm(("user", "friend"), "\t")
_LOCATIONS = LineForm(
    ("item", "latitude", "longitude"), " ", parsers={"latitude": NUMBER, "longitude": NUMBER}
)
_SPOTS = LineForm(("item", "spot"), " ")
_TEST_LEFT_OUT = (
    "test.txt is not used: it is what a recommendation is to find "
    "(recsvc evaluate --train train.txt --test test.txt)"
)


def gowalla(folder: Path) -> Tables:
    """The data set as `loaders.tables.Tables`, whichever form it has.

    Args:
        folder: the folder with the files, or with their archives.

    Raises:
        TableError: there are neither check-ins nor friendships.
    """
    files = SourceFiles(folder)
    checkins = files.first(*_CHECKIN_FILES)
    if "time_train.txt" in files:
        return StreamTables(_sep_gcn(files), (_TEST_LEFT_OUT,))
    if "train.txt" in files:
        return StreamTables(_light_gcn(files), (_TEST_LEFT_OUT,))
    friends = _follows(files, None)
    if checkins is not None:
        return StreamTables({**_snap(files, checkins), **friends})
    if friends:
        return StreamTables(friends, ("there are friendships only: no file of check-ins",))
    expected = ", ".join(("train.txt", *_CHECKIN_FILES[:1], *_FRIEND_FILES[:1]))
    raise TableError(f"{files.describe()}: expected one of {expected}, or its archive")


def _snap(files: SourceFiles, checkins: str) -> dict[TableSpec, Read]:
    return {
        ITEMS: distinct_table_of(
            files, checkins, _CHECKINS, ITEMS, columns("latitude", "longitude", item_id="location")
        ),
        INTERACTIONS: table_of(
            files,
            checkins,
            _CHECKINS,
            INTERACTIONS,
            columns(user_id="user", item_id="location", event=pl.lit(EVENT), timestamp="time"),
        ),
    }


def _light_gcn(files: SourceFiles) -> dict[TableSpec, Read]:
    lists = LineForm(("org_id", "remap_id"), " ", header=True)
    tables: dict[TableSpec, Read] = {INTERACTIONS: _pairs(files, "train.txt")}
    if "item_list.txt" in files:
        tables[ITEMS] = _listed(files, "item_list.txt", lists, ITEMS)
    if "user_list.txt" in files:
        tables[USERS] = _listed(files, "user_list.txt", lists, USERS)
        tables |= _follows(files, lists)
    return tables


def _sep_gcn(files: SourceFiles) -> dict[TableSpec, Read]:
    lists = LineForm(("org_id", "remap_id"), " ")
    return {
        ITEMS: _located_items(files, lists),
        USERS: _listed(files, "user_list.txt", lists, USERS),
        CATEGORIES: distinct_table_of(
            files, "cat.txt", _SPOTS, CATEGORIES, columns(category_id="spot", kind=pl.lit("spot"))
        ),
        ITEM_CATEGORIES: table_of(
            files, "cat.txt", _SPOTS, ITEM_CATEGORIES, columns(item_id="item", category_id="spot")
        ),
        INTERACTIONS: _timed_pairs(files, "train.txt", "time_train.txt"),
        **_follows(files, lists),
    }


def _listed(files: SourceFiles, name: str, form: LineForm, spec: TableSpec) -> Read:
    """Users or items by the ids of `train.txt`, with SNAP's id as a property."""

    def described(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.select(pl.col("remap_id").alias(spec.required[0]), "org_id")

    return table_of(files, name, form, spec, described)


def _located_items(files: SourceFiles, lists: LineForm) -> Read:
    """Spots with their places, which are held in memory: there are 13,812."""

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        located = [batch.frame for batch in rows_of(files, "location.txt", _LOCATIONS, reject)]
        places = pl.concat(located).unique("item", keep="first")

        def described(rows: pl.DataFrame) -> pl.DataFrame:
            return rows.join(
                places, left_on="remap_id", right_on="item", how="left", maintain_order="left"
            ).select("org_id", "latitude", "longitude", item_id="remap_id")

        yield from table_of(files, "item_list.txt", lists, ITEMS, described)(reject)

    return read


def _follows(files: SourceFiles, lists: LineForm | None) -> dict[TableSpec, Read]:
    """Friends follow each other; both directions are held in memory: 1.9 million pairs.

    Args:
        files: the data set's files.
        lists: form of the list that gives SNAP's users their ids in `train.txt`; friends who are
            not in it are left out. None where SNAP's ids are used.
    """
    name = files.first(*_FRIEND_FILES)
    if name is None:
        return {}
    both = table_of(
        files, name, _FRIENDS, FOLLOWS, columns(follower_id="user", followee_id="friend")
    )

    def both_ways(pairs: pl.DataFrame) -> pl.DataFrame:
        back = pairs.select(follower_id="followee_id", followee_id="follower_id", since="since")
        return pl.concat([pairs, back])

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        parts = gathered(map(both_ways, both(reject)), distinct)
        if lists is None:
            yield from parts
            return
        listed = [b.frame for b in rows_of(files, "user_list.txt", lists, ignore)]
        new_ids = pl.concat(listed).drop_nulls().unique("org_id", keep="first")
        for part in parts:
            yield _renamed(part, new_ids)

    return {FOLLOWS: read}


def _renamed(pairs: pl.DataFrame, new_ids: pl.DataFrame) -> pl.DataFrame:
    for column in ("follower_id", "followee_id"):
        pairs = (
            pairs.join(new_ids, left_on=column, right_on="org_id", maintain_order="left")
            .with_columns(pl.col("remap_id").alias(column))
            .drop("remap_id")
        )
    return pairs


def _pairs(files: SourceFiles, name: str) -> Read:
    """LightGCN's text form: a user and their items on each line."""

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        with files.open(name) as stream:
            for lines in numbered_lines(stream, name, "utf-8", reject):
                ids = pl.col("text").str.extract_all(r"\S+")
                rows = lines.select(
                    "line", user_id=ids.list.first(), item_id=ids.list.slice(1), event=pl.lit(EVENT)
                )
                pairs = rows.explode("item_id").drop_nulls("item_id")
                batch = RawBatch(pairs.drop("line"), pairs["line"])
                yield checked_batch(batch, INTERACTIONS, name, reject)

    return read


def _timed_pairs(files: SourceFiles, name: str, times_name: str) -> Read:
    """The text form with a second file that has a time in the place of each item."""

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        rows: list[tuple[int, str, str, str]] = []
        for line, text, times_text in _side_by_side(files, name, times_name):
            if "\ufffd" in text:
                reject(Rejected(name, line, "", Reason.NOT_UTF8, shown_text(text)))
                continue
            user, *items = text.split() or [""]
            time_user, *times = times_text.split() or [""]
            if user != time_user or len(items) != len(times):
                reason = (
                    f"user {user!r} with {len(items)} items, beside user {time_user!r} with "
                    f"{len(times)} times in {times_name}: expected a time for each item"
                )
                reject(Rejected(name, line, "", reason, shown_text(text)))
                continue
            rows += ((line, user, *visit) for visit in zip(items, times, strict=True))
            if len(rows) >= BATCH_ROWS:
                yield _timed_batch(rows, name, reject)
                rows = []
        if rows:
            yield _timed_batch(rows, name, reject)

    return read


def _side_by_side(files: SourceFiles, name: str, times_name: str) -> Iterator[tuple[int, str, str]]:
    """Lines of both files with their number; an empty one where a file has ended."""
    with files.open(name) as stream, files.open(times_name) as times_stream:
        for line, pair in zip(count(1), zip_longest(stream, times_stream, fillvalue=b"")):
            text, times_text = (line_text.decode("utf-8", "replace") for line_text in pair)
            yield line, text, times_text


def _timed_batch(rows: list[tuple[int, str, str, str]], name: str, reject: Reject) -> pl.DataFrame:
    frame = pl.DataFrame(rows, ["line", "user_id", "item_id", "timestamp"], orient="row")
    frame = frame.with_columns(event=pl.lit(EVENT))
    return checked_batch(RawBatch(frame.drop("line"), frame["line"]), INTERACTIONS, name, reject)


_SNAP = "https://snap.stanford.edu/data"
# SNAP publishes no checksums: these are as recorded by DataRec.
DATA_SETS = {
    "gowalla": DataSet(
        gowalla,
        Publication(
            f"{_SNAP}/loc-gowalla.html",
            {
                f"{_SNAP}/loc-gowalla_totalCheckins.txt.gz": "md5:8ebd5ed2dd376d8982987c49429cb9f9",
                f"{_SNAP}/loc-gowalla_edges.txt.gz": "md5:68bce8dc51609fe32bbd95e668aaf65e",
            },
        ),
    )
}
"""The data sets of this file, by name."""
