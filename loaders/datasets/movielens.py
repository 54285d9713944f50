"""MovieLens: who rated which film, and how people tagged them.

GroupLens, University of Minnesota (Harper, Konstan: The MovieLens Datasets: History and Context,
ACM TiiS 5, 2015). Three forms have been published: 100K's (`u.data`), 1M's and 10M's
(`ratings.dat`), and that of all later ones (`ratings.csv`).
"""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import polars as pl

from loaders.datasets._download import DataSet, Publication
from loaders.datasets._files import SourceFiles
from loaders.datasets._lines import WHOLE, LineForm, Parser
from loaders.datasets._stream import (
    Read,
    StreamTables,
    columns,
    distinct,
    gathered,
    ignore,
    in_turn,
    made_table,
    rows_of,
    table_of,
)
from loaders.errors import TableError
from loaders.tables import (
    CATEGORIES,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    USERS,
    Reject,
    Tables,
    TableSpec,
)

EVENT = "rating"
"""Kind of the interactions; their value is the rating."""
_NO_GENRE = "(no genres listed)"
_DATE = Parser(
    lambda text: text.str.to_date("%d-%b-%Y", strict=False), "a date such as 01-Jan-1995"
)
_FLAG = Parser(lambda text: text.replace_strict({"0": False, "1": True}, default=None), "0 or 1")


_RATINGS = columns(
    user_id="user", item_id="item", event=pl.lit(EVENT), value="rating", timestamp="time"
)
_USERS = columns("age", "gender", "occupation", "zip_code", user_id="user")


def movielens(folder: Path) -> Tables:
    """The data set as `loaders.tables.Tables`, whichever form it has.

    Args:
        folder: the folder with the files, or with their archive.

    Raises:
        TableError: there are no ratings, or those of several forms.
    """
    files = SourceFiles(folder)
    forms = [name for name in _FORMS if name in files]
    if len(forms) != 1:
        raise TableError(
            f"{files.describe()}: expected one of {', '.join(_FORMS)}, or an archive of "
            "one MovieLens data set"
        )
    return StreamTables(_FORMS[forms[0]](files))


def _hundred_k(files: SourceFiles) -> Mapping[TableSpec, Read]:
    genre_names = _genre_names(files)
    ratings = LineForm(("user", "item", "rating", "time"), "\t")
    users = LineForm(
        ("user", "age", "gender", "occupation", "zip_code"), "|", parsers={"age": WHOLE}
    )
    films = LineForm(
        ("item", "title", "release_date", "video_release_date", "imdb_url", *genre_names),
        "|",
        encoding="latin-1",
        parsers={"release_date": _DATE, **dict.fromkeys(genre_names, _FLAG)},
    )

    def genres_of(rows: pl.DataFrame) -> pl.DataFrame:
        flags = [pl.when(name).then(pl.lit(name)) for name in genre_names]
        return rows.select("item", genre=pl.concat_list(flags).list.drop_nulls()).explode("genre")

    return {
        ITEMS: table_of(
            files,
            "u.item",
            films,
            ITEMS,
            columns("title", "release_date", "imdb_url", item_id="item"),
        ),
        USERS: table_of(files, "u.user", users, USERS, _USERS),
        CATEGORIES: lambda reject: iter([_genres(pl.Series(genre_names), "u.genre", reject)]),
        ITEM_CATEGORIES: _item_genres(files, "u.item", films, genres_of),
        INTERACTIONS: table_of(files, "u.data", ratings, INTERACTIONS, _RATINGS),
    }


def _genre_names(files: SourceFiles) -> list[str]:
    """Names of the genres, in the order of their flags."""
    lines = files.read("u.genre").decode("latin-1").splitlines()
    numbered = [line.rpartition("|") for line in lines if line]
    if [number for _, _, number in numbered] != [str(place) for place in range(len(numbered))]:
        raise TableError("u.genre is not as it was published: expected lines such as Action|1")
    return [name for name, _, _ in numbered]


def _one_m(files: SourceFiles) -> Mapping[TableSpec, Read]:
    ratings = LineForm(("user", "item", "rating", "time"), "::")
    films = LineForm(("item", "title", "genres"), "::", encoding="latin-1")
    # Age is the first year of a group and occupation a number: its README names them.
    users = LineForm(
        ("user", "gender", "age", "occupation", "zip_code"), "::", parsers={"age": WHOLE}
    )
    tables: dict[TableSpec, Read] = {
        ITEMS: table_of(files, "movies.dat", films, ITEMS, columns("title", item_id="item")),
        CATEGORIES: _genre_table(files, "movies.dat", films),
        ITEM_CATEGORIES: _item_genres(files, "movies.dat", films, _split_genres),
        INTERACTIONS: table_of(files, "ratings.dat", ratings, INTERACTIONS, _RATINGS),
    }
    if "users.dat" in files:
        tables[USERS] = table_of(files, "users.dat", users, USERS, _USERS)
    return tables


def _latest(files: SourceFiles) -> Mapping[TableSpec, Read]:
    ratings = LineForm(("userId", "movieId", "rating", "timestamp"), header=True)
    films = LineForm(("movieId", "title", "genres"), header=True, quoted=True)

    def split_genres(rows: pl.DataFrame) -> pl.DataFrame:
        return _split_genres(rows.rename({"movieId": "item"}))

    tables: dict[TableSpec, Read] = {
        ITEMS: _films_with_links(files, films),
        CATEGORIES: _genre_table(files, "movies.csv", films),
        ITEM_CATEGORIES: _item_genres(files, "movies.csv", films, split_genres),
        INTERACTIONS: table_of(
            files,
            "ratings.csv",
            ratings,
            INTERACTIONS,
            columns(
                "timestamp",
                user_id="userId",
                item_id="movieId",
                event=pl.lit(EVENT),
                value="rating",
            ),
        ),
    }
    if "tags.csv" in files:
        tables[CATEGORIES] = in_turn(tables[CATEGORIES], _tags(files))
        tables[ITEM_CATEGORIES] = in_turn(tables[ITEM_CATEGORIES], _item_tags(files))
    return tables


_FORMS: Mapping[str, Callable[[SourceFiles], Mapping[TableSpec, Read]]] = {
    "u.data": _hundred_k,
    "ratings.dat": _one_m,
    "ratings.csv": _latest,
}
"""The readers, by the file that only their form has."""


def _films_with_links(files: SourceFiles, films: LineForm) -> Read:
    """Films with their ids elsewhere, which are held in memory: there are 87,585 at most."""
    form = LineForm(("movieId", "imdbId", "tmdbId"), header=True)

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        links = pl.DataFrame(schema=dict.fromkeys(form.columns, pl.String))
        if "links.csv" in files:
            links = pl.concat(b.frame for b in rows_of(files, "links.csv", form, reject))
        links = links.unique("movieId", keep="first").select(
            item_id="movieId", imdb_id="imdbId", tmdb_id="tmdbId"
        )

        def described(rows: pl.DataFrame) -> pl.DataFrame:
            named = rows.select("title", item_id="movieId")
            return named.join(links, on="item_id", how="left", maintain_order="left")

        yield from table_of(files, "movies.csv", films, ITEMS, described)(reject)

    return read


def _split_genres(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("item", genre=pl.col("genres").str.split("|")).explode("genre")


def _genre_table(files: SourceFiles, name: str, films: LineForm) -> Read:
    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        genres = (
            batch.frame.select(pl.col("genres").str.split("|").explode())
            for batch in rows_of(files, name, films, ignore)
        )
        for part in gathered(genres, distinct):
            names = part["genres"].drop_nulls()
            yield _genres(names.filter(names != _NO_GENRE), name, reject)

    return read


def _genres(names: pl.Series, file: str, reject: Reject) -> pl.DataFrame:
    frame = pl.DataFrame({"category_id": "genre:" + names, "name": names})
    return made_table(frame.with_columns(kind=pl.lit("genre")), CATEGORIES, file, reject)


def _item_genres(
    files: SourceFiles,
    name: str,
    films: LineForm,
    genres_of: Callable[[pl.DataFrame], pl.DataFrame],
) -> Read:
    """Films with their genres, of which they have at most all: a batch holds so many more rows."""

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        for batch in rows_of(files, name, films, ignore):
            links = genres_of(batch.frame).drop_nulls().filter(pl.col("genre") != _NO_GENRE)
            frame = links.select(item_id="item", category_id="genre:" + pl.col("genre"))
            yield made_table(frame, ITEM_CATEGORIES, name, reject)

    return read


_TAG_FORM = LineForm(("userId", "movieId", "tag", "timestamp"), header=True, quoted=True)


def _tags(files: SourceFiles) -> Read:
    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        tags = (
            batch.frame.select("tag") for batch in rows_of(files, "tags.csv", _TAG_FORM, ignore)
        )
        for part in gathered(tags, distinct):
            frame = part.drop_nulls().select(
                category_id="tag:" + pl.col("tag"), name="tag", kind=pl.lit("tag")
            )
            yield made_table(frame, CATEGORIES, "tags.csv", reject)

    return read


def _item_tags(files: SourceFiles) -> Read:
    """Films with their tags; the weight says how often each was given."""

    def counted(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.group_by("movieId", "tag").agg(pl.col("weight").sum()).sort("movieId", "tag")

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        rows = (
            batch.frame.select("movieId", "tag", weight=pl.lit(1)).drop_nulls()
            for batch in rows_of(files, "tags.csv", _TAG_FORM, reject)
        )
        for part in gathered(rows, counted):
            frame = part.select("weight", item_id="movieId", category_id="tag:" + pl.col("tag"))
            yield made_table(frame, ITEM_CATEGORIES, "tags.csv", reject)

    return read


# SHA-256 of GroupLens' archives as recorded by TensorFlow Datasets (url_checksums/movielens.txt)
# and others.
_SHA256 = {
    "latest-small": "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436",
    "100k": "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229",
    "1m": "a6898adb50b9ca05aa231689da44c217cb524e7ebd39d264c56e2832f2c54e20",
    "25m": "8b21cfb7eb1706b4ec0aac894368d90acf26ebdfb6aced3ebd4ad5bd1eb9c6aa",
    "32m": "e4a68655d7386b8f95f2f2424b2ff975dfdd15ffd59e0d864a14dca43e99d6ee",
}


def _edition(name: str) -> DataSet:
    page = f"https://grouplens.org/datasets/movielens/{name.removesuffix('-small')}/"
    file = f"https://files.grouplens.org/datasets/movielens/ml-{name}.zip"
    return DataSet(movielens, Publication(page, {file: _SHA256[name]}))


# They differ in what is downloaded; the reader finds out which form it has before it.
DATA_SETS = {
    "movielens": _edition("latest-small"),
    **{f"movielens-{name}": _edition(name) for name in _SHA256},
}
"""The data sets of this file, by name."""
