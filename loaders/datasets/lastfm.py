"""Last.fm: 1,892 people, the artists they listened to, their friends and the tags they gave.

HetRec 2011's Last.fm 2k (Cantador, Brusilovsky, Kuflik: 2nd Workshop on Information Heterogeneity
and Fusion in Recommender Systems, RecSys 2011), collected from https://www.last.fm and made
available by GroupLens for non-commercial use. Read from the package `graphdatascience`, which
carries it as a resource without names, or from the original `.dat` files.

The names of artists and tags are facts; `lastfm_names.parquet` beside this module holds them, made
from the original files by `write_names`.
"""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from pathlib import Path

import polars as pl

from loaders.datasets._download import DataSet, Publication
from loaders.datasets._files import SourceFiles
from loaders.errors import TableError
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    USERS,
    FrameTables,
    TableSpec,
    as_table,
)

EVENT = "listen"
"""Kind of the interactions; their value is the number of listens."""
_PACKAGE = "graphdatascience"
_RESOURCE = "graphdatascience/resources/lastfm"
# The package moves the artists' ids out of the way of the users'.
_ARTIST_OFFSET = 10_000
_NAMES_FILE = Path(__file__).with_name("lastfm_names.parquet")


class LastfmTables(FrameTables):
    """The data set as `loaders.tables.Tables`.

    Args:
        folder: the folder with the original `.dat` files, or with their archive; None reads the
            package `graphdatascience`.
        held_out: pairs of user_id and item_id to leave out, with the taggings of the same user
            on the same artist, which would tell that they listen to it.

    Raises:
        TableError: the files or the package are missing.
    """

    def __init__(self, folder: Path | None = None, *, held_out: pl.DataFrame | None = None) -> None:
        raw = _from_package() if folder is None else _from_files(folder)
        super().__init__(_tables(raw if held_out is None else _without(raw, held_out)))


def write_names(folder: Path, target: Path = _NAMES_FILE) -> None:
    """Make the table of names from the original files: how `lastfm_names.parquet` came to be.

    Args:
        folder: the folder with `artists.dat` and `tags.dat`, or with the archive.
        target: the Parquet file to write.

    Raises:
        TableError: the files are missing.
    """
    files = SourceFiles(folder)
    used = _from_files(folder).taggings["tag"].unique()
    tags = _tags(files).filter(pl.col("id").is_in(used.implode()))
    names = pl.concat([_artists(files), tags]).sort("kind", "id")
    names.write_parquet(target, compression="zstd", compression_level=22)


@dataclass(frozen=True, slots=True)
class _Raw:
    """What both sources hold, with the original ids.

    Attributes:
        listens: user, artist, count.
        friends: user, friend.
        taggings: user, artist, tag.
        names: kind (artist, tag), id, name.
    """

    listens: pl.DataFrame
    friends: pl.DataFrame
    taggings: pl.DataFrame
    names: pl.DataFrame


def _without(raw: _Raw, held_out: pl.DataFrame) -> _Raw:
    pairs = held_out.select(
        pl.col("user_id").cast(pl.Int64).alias("user"),
        pl.col("item_id").cast(pl.Int64).alias("artist"),
    )
    return replace(
        raw,
        listens=raw.listens.join(pairs, on=["user", "artist"], how="anti"),
        taggings=raw.taggings.join(pairs, on=["user", "artist"], how="anti"),
    )


def _from_package() -> _Raw:
    artist = pl.col("targetNodeId") - _ARTIST_OFFSET
    user = pl.col("sourceNodeId").alias("user")
    return _Raw(
        _resource("user_listen_artist_rels").select(user, artist=artist, count="weight"),
        _resource("user_friend_df_directed").select(user, friend="targetNodeId"),
        _resource("user_tag_artist_rels").select(user, artist=artist, tag="tagID"),
        pl.read_parquet(_NAMES_FILE),
    )


def _resource(name: str) -> pl.DataFrame:
    try:
        distribution = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        raise TableError(
            f"the package {_PACKAGE}, which carries the Last.fm graph, is not installed: "
            "install recsvc[lastfm], or give the folder with the original files (--from DIR)"
        ) from None
    path = Path(str(distribution.locate_file(f"{_RESOURCE}/{name}.parquet.gzip")))
    if not path.is_file():
        raise TableError(
            f"{_PACKAGE} {distribution.version} holds no {_RESOURCE}/{path.name}: "
            "give the folder with the original files (--from DIR)"
        )
    return pl.read_parquet(path)


def _from_files(folder: Path) -> _Raw:
    files = SourceFiles(folder)
    return _Raw(
        _numbers(files, "user_artists.dat", user="userID", artist="artistID", count="weight"),
        _numbers(files, "user_friends.dat", user="userID", friend="friendID"),
        _numbers(files, "user_taggedartists.dat", user="userID", artist="artistID", tag="tagID"),
        pl.concat([_artists(files), _tags(files)]),
    )


def _artists(files: SourceFiles) -> pl.DataFrame:
    artists = _read(files, "artists.dat", id="id", name="name")
    return artists.select(pl.lit("artist").alias("kind"), pl.col("id").cast(pl.Int64), "name")


def _tags(files: SourceFiles) -> pl.DataFrame:
    tags = _read(files, "tags.dat", encoding="latin-1", id="tagID", name="tagValue")
    return tags.select(pl.lit("tag").alias("kind"), pl.col("id").cast(pl.Int64), "name")


def _numbers(files: SourceFiles, file: str, **columns: str) -> pl.DataFrame:
    return _read(files, file, **columns).cast(pl.Int64)


def _read(
    files: SourceFiles, file: str, *, encoding: str = "utf-8", **columns: str
) -> pl.DataFrame:
    """Columns of one file as text, renamed; no word in it has a meaning (a tag is "none")."""
    if file not in files:
        raise TableError(
            f"no {file} among the files: {files.describe()}: expected those of HetRec 2011 "
            "Last.fm 2k, or their archive"
        )
    text = files.read(file).decode(encoding).replace("\r\n", "\n")
    frame = pl.read_csv(
        io.BytesIO(text.encode()), separator="\t", quote_char=None, infer_schema=False
    )
    if missing := set(columns.values()) - set(frame.columns):
        raise TableError(
            f"{file} has no column {sorted(missing)[0]!r}: expected the files of HetRec 2011 "
            "Last.fm 2k as they were published"
        )
    return frame.select(**columns)


def _tables(raw: _Raw) -> Mapping[TableSpec, pl.DataFrame]:
    titles, tag_names = (
        raw.names.filter(kind=kind).select("id", "name") for kind in ("artist", "tag")
    )
    users, artists, tags = raw.listens["user"], raw.listens["artist"], raw.taggings["tag"]
    users = pl.concat([users, raw.taggings["user"], raw.friends["user"], raw.friends["friend"]])
    artists = pl.concat([artists, raw.taggings["artist"]])
    frames = {
        ITEMS: _named(artists, titles).select(item_id="id", title="name"),
        USERS: _distinct(users).select(user_id="id"),
        CATEGORIES: _named(tags, tag_names).select(
            category_id="id", name="name", kind=pl.lit("tag")
        ),
        ITEM_CATEGORIES: raw.taggings.group_by("artist", "tag")
        .agg(weight=pl.len())
        .select("weight", item_id="artist", category_id="tag"),
        FOLLOWS: _both_ways(raw.friends).select(follower_id="user", followee_id="friend"),
        INTERACTIONS: raw.listens.select(
            user_id="user", item_id="artist", value="count", event=pl.lit(EVENT)
        ),
    }
    return {spec: _sorted(as_table(spec, frame), spec) for spec, frame in frames.items()}


def _distinct(ids: pl.Series) -> pl.DataFrame:
    return pl.DataFrame({"id": ids.unique()})


def _named(ids: pl.Series, names: pl.DataFrame) -> pl.DataFrame:
    return _distinct(ids).join(names, on="id", how="left")


def _both_ways(friends: pl.DataFrame) -> pl.DataFrame:
    back = friends.select(user="friend", friend="user")
    return pl.concat([friends, back]).unique()


def _sorted(table: pl.DataFrame, spec: TableSpec) -> pl.DataFrame:
    return table.sort([column.name for column in spec.columns if column.node])


DATA_SETS = {
    "lastfm": DataSet(
        LastfmTables,
        Publication(
            "https://grouplens.org/datasets/hetrec-2011/",
            {
                "https://files.grouplens.org/datasets/hetrec2011/hetrec2011-lastfm-2k.zip": (
                    "6738f48195667ff03caaab4d32ca9a3133d8cc026b7c3cdaf6ce1010e913c59c"
                )
            },
        ),
    )
}
"""The data sets of this file, by name."""
