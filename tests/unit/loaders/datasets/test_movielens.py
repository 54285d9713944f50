from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loaders.datasets.movielens import movielens
from loaders.errors import TableError
from loaders.tables import CATEGORIES, INTERACTIONS, ITEM_CATEGORIES, ITEMS, USERS

HUNDRED_K = {
    "u.data": "7\t2\t4\t881250949\n7\t1\t3\t881250944\n8\t1\tfour\t881250950\n8\t1\t5\n",
    "u.genre": "unknown|0\nAction|1\nDrama|2\n\n",
    "u.item": (
        "1|Misérables, Les (1995)|01-Jan-1995||http://imdb/1|0|0|1\n"
        "2|unknown||||1|0|0\n"
        "3|Odd date|32-Jan-1995|||0|0|0\n"
        "4|Odd flag|||http://imdb/4|0|2|0\n"
        "5|Two genres|02-Feb-1996|||0|1|1\n"
    ).encode("latin-1"),
    "u.user": "7|24|M|technician|85711\n8|old|F|other|T8H1N\n",
}
ONE_M = {
    "ratings.dat": "1::1193::5::978300760\n1::661::3\n",
    "movies.dat": "1193::Cuckoo's Nest: One (1975)::Drama\n661::Café::Action|Drama\n".encode(
        "latin-1"
    ),
    "users.dat": "1::F::1::10::48067\n",
}
LATEST = {
    "ratings.csv": "userId,movieId,rating,timestamp\r\n1,1,4.0,964982703\r\n1,3,0.5,964981247\r\n",
    "movies.csv": (
        "movieId,title,genres\n"
        "1,Toy Story (1995),Adventure|Comedy\n"
        '3,"American President, The ""A"" (1995)",Comedy\n'
        "4,Nothing,(no genres listed)\n"
        '5,"Left open,Comedy\n'
        "6,Too,many,cells\n"
    ),
    "tags.csv": (
        "userId,movieId,tag,timestamp\n"
        "2,1,fun,1445714994\n3,1,fun,1445714995\n2,3,comedy,1445714996\n"
        '2,3,"a, b",1445714997\n2,3,,1445714998\n'
    ),
    "links.csv": "movieId,imdbId,tmdbId\n1,0114709,862\n3,0112346,\n",
}


class TestMadeFiles:
    def test_100k(self, reading: Any, written: Any) -> None:
        source = movielens(written(HUNDRED_K))
        assert reading.rows(source, ITEMS, "item_id", "title", "release_date", "imdb_url") == [
            ("1", "Misérables, Les (1995)", date(1995, 1, 1), "http://imdb/1"),
            ("2", "unknown", None, None),
            ("5", "Two genres", date(1996, 2, 2), None),
        ]
        assert reading.rows(
            source, USERS, "user_id", "age", "gender", "occupation", "zip_code"
        ) == [("7", 24, "M", "technician", "85711")]
        assert reading.rows(source, CATEGORIES, *CATEGORIES.names) == [
            ("genre:unknown", "unknown", "genre", None),
            ("genre:Action", "Action", "genre", None),
            ("genre:Drama", "Drama", "genre", None),
        ]
        assert reading.rows(source, ITEM_CATEGORIES, "item_id", "category_id", "weight") == [
            ("1", "genre:Drama", 1.0),
            ("2", "genre:unknown", 1.0),
            ("5", "genre:Action", 1.0),
            ("5", "genre:Drama", 1.0),
        ]
        assert reading.rows(source, INTERACTIONS, *INTERACTIONS.names[:5]) == [
            ("7", "2", "rating", 4.0, datetime(1997, 12, 4, 15, 55, 49, tzinfo=UTC)),
            ("7", "1", "rating", 3.0, datetime(1997, 12, 4, 15, 55, 44, tzinfo=UTC)),
        ]
        assert reading.reasons == [
            ("u.item", 3, "release_date", "'32-Jan-1995' is not a date such as 01-Jan-1995"),
            ("u.item", 4, "Action", "'2' is not 0 or 1"),
            ("u.user", 2, "age", "'old' is not a whole number"),
            ("u.data", 3, "value", "'four' is not a finite number"),
            ("u.data", 4, "", "3 cells: expected 4 (user\titem\trating\ttime)"),
        ]
        assert {each.table for each in reading.rejected} == {"items", "users", "interactions"}

    def test_1m(self, reading: Any, written: Any) -> None:
        source = movielens(written(ONE_M))
        assert reading.rows(source, ITEMS, "item_id", "title") == [
            ("1193", "Cuckoo's Nest: One (1975)"),
            ("661", "Café"),
        ]
        assert reading.rows(
            source, USERS, "user_id", "gender", "age", "occupation", "zip_code"
        ) == [("1", "F", 1, "10", "48067")]
        assert reading.rows(source, CATEGORIES, "category_id", "name") == [
            ("genre:Drama", "Drama"),
            ("genre:Action", "Action"),
        ]
        assert reading.rows(source, ITEM_CATEGORIES, "item_id", "category_id") == [
            ("1193", "genre:Drama"),
            ("661", "genre:Action"),
            ("661", "genre:Drama"),
        ]
        assert reading.rows(source, INTERACTIONS, "user_id", "item_id", "value") == [
            ("1", "1193", 5.0)
        ]
        assert reading.reasons == [
            ("ratings.dat", 2, "", "3 cells: expected 4 (user::item::rating::time)")
        ]

    def test_latest(self, reading: Any, written: Any) -> None:
        source = movielens(written(LATEST))
        assert reading.rows(source, ITEMS, "item_id", "title", "imdb_id", "tmdb_id") == [
            ("1", "Toy Story (1995)", "0114709", "862"),
            ("3", 'American President, The "A" (1995)', "0112346", None),
            ("4", "Nothing", None, None),
        ]
        assert [(file, line) for file, line, _, _ in reading.reasons] == [
            ("movies.csv", 5),
            ("movies.csv", 6),
        ]
        assert reading.rows(source, CATEGORIES, "category_id", "name", "kind") == [
            ("genre:Adventure", "Adventure", "genre"),
            ("genre:Comedy", "Comedy", "genre"),
            ("tag:fun", "fun", "tag"),
            ("tag:comedy", "comedy", "tag"),
            ("tag:a, b", "a, b", "tag"),
        ]
        assert sorted(
            reading.rows(source, ITEM_CATEGORIES, "item_id", "category_id", "weight")
        ) == [
            ("1", "genre:Adventure", 1.0),
            ("1", "genre:Comedy", 1.0),
            ("1", "tag:fun", 2.0),
            ("3", "genre:Comedy", 1.0),
            ("3", "tag:a, b", 1.0),
            ("3", "tag:comedy", 1.0),
        ]
        assert reading.rows(source, INTERACTIONS, "user_id", "item_id", "value", "timestamp") == [
            ("1", "1", 4.0, datetime(2000, 7, 30, 18, 45, 3, tzinfo=UTC)),
            ("1", "3", 0.5, datetime(2000, 7, 30, 18, 20, 47, tzinfo=UTC)),
        ]

    def test_ratings_and_films_are_enough(self, reading: Any, written: Any) -> None:
        files = {name: LATEST[name] for name in ("ratings.csv", "movies.csv")}
        source = movielens(written(files))
        assert reading.rows(source, ITEMS, "item_id", "imdb_id")[0] == ("1", None)
        assert reading.table(source, CATEGORIES)["kind"].unique().to_list() == ["genre"]

    @pytest.mark.parametrize("archive", ["ml.zip", "ml.tar.xz"])
    @pytest.mark.parametrize("files", [HUNDRED_K, ONE_M, LATEST])
    def test_an_archive_gives_the_same(
        self, reading: Any, written: Any, packed: Any, archive: str, files: Any
    ) -> None:
        unpacked, archived = movielens(written(files)), movielens(packed(files, archive))
        assert unpacked.specs == archived.specs
        for spec in unpacked.specs:
            assert reading.table(unpacked, spec).equals(reading.table(archived, spec))

    def test_other_files(self, written: Any) -> None:
        with pytest.raises(TableError, match=r"holds a\.csv: expected one of u\.data"):
            movielens(written({"a.csv": ""}))

    def test_two_forms_at_once(self, written: Any) -> None:
        with pytest.raises(TableError, match="an archive of one MovieLens data set"):
            movielens(written(LATEST | HUNDRED_K))

    def test_genres_in_another_order(self, written: Any) -> None:
        with pytest.raises(TableError, match=r"u\.genre is not as it was published"):
            movielens(written(HUNDRED_K | {"u.genre": "Action|1\nDrama|2\n"}))

    def test_another_header(self, reading: Any, written: Any) -> None:
        source = movielens(written(LATEST | {"ratings.csv": "user,item\n1,2\n"}))
        with pytest.raises(TableError, match=r"ratings\.csv has no column 'userId'"):
            reading.table(source, INTERACTIONS)


class TestCountsOfTheSource:
    def test_100k(self, reading: Any, shared_data: Path) -> None:
        source = movielens(shared_data / "ml-100k")
        counts = {spec.name: reading.table(source, spec).height for spec in source.specs}
        assert counts == {
            "items": 1_682,
            "users": 943,
            "categories": 19,
            "item_categories": 2_893,
            "interactions": 100_000,
        }
        ratings = reading.table(source, INTERACTIONS)
        assert (ratings["user_id"].n_unique(), ratings["item_id"].n_unique()) == (943, 1_682)
        assert ratings["timestamp"].null_count() == 0
        users = reading.table(source, USERS).select("age", "gender", "occupation", "zip_code")
        assert users.null_count().row(0) == (0, 0, 0, 0)
        assert reading.rejected == []

    def test_latest_small(self, reading: Any, shared_data: Path) -> None:
        source = movielens(shared_data / "ml-latest-small")
        ratings = reading.table(source, INTERACTIONS)
        assert ratings.height == 100_836
        assert (ratings["user_id"].n_unique(), ratings["item_id"].n_unique()) == (610, 9_724)
        assert ratings["timestamp"].null_count() == 0
        assert reading.table(source, ITEMS).height == 9_742
        kinds = reading.table(source, CATEGORIES)["kind"].value_counts().rows()
        # The twentieth label says that there is no genre.
        assert dict(kinds)["genre"] == 20 - 1
        links = reading.table(source, ITEM_CATEGORIES)
        is_tag = pl.col("category_id").str.starts_with("tag:")
        assert links.filter(is_tag)["weight"].sum() == 3_683
        assert links.filter(~is_tag).height == 22_050
        assert reading.rejected == []
