from pathlib import Path

import polars as pl
import pytest

from loaders.datasets.lastfm import LastfmTables, write_names
from loaders.errors import TableError
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    RELATED_ITEMS,
    TABLES,
    USERS,
    Rejected,
    Tables,
    TableSpec,
    graph_from_tables,
)


@pytest.fixture
def original(shared_data: Path) -> Path:
    return shared_data / "hetrec2011-lastfm-2k"


def no_reject(rejected: Rejected) -> None:
    raise AssertionError(str(rejected))


def table(source: Tables, spec: TableSpec) -> pl.DataFrame:
    return pl.concat(source.batches(spec, no_reject))


@pytest.fixture(scope="module")
def lastfm() -> LastfmTables:
    return LastfmTables()


class TestCountsOfTheSource:
    """The counts of SOURCE.md, which are those published with the data set."""

    @pytest.mark.parametrize(
        ("spec", "rows"),
        [
            (USERS, 1_892),
            (ITEMS, 18_022),
            (INTERACTIONS, 92_834),
            (FOLLOWS, 25_434),
            (CATEGORIES, 9_749),
            (ITEM_CATEGORIES, 109_750),
        ],
    )
    def test_rows(self, lastfm: LastfmTables, spec: TableSpec, rows: int) -> None:
        assert table(lastfm, spec).height == lastfm.row_count(spec) == rows

    def test_nobody_states_preferences_or_related_items(self, lastfm: LastfmTables) -> None:
        assert lastfm.specs == tuple(
            spec for spec in TABLES if spec not in (PREFERENCES, RELATED_ITEMS)
        )

    def test_listens(self, lastfm: LastfmTables) -> None:
        listens = table(lastfm, INTERACTIONS)
        assert listens["event"].unique().to_list() == ["listen"]
        assert listens["item_id"].n_unique() == 17_632
        assert listens["user_id"].n_unique() == 1_892
        assert listens.filter(user_id="2", item_id="51")["value"].to_list() == [13_883.0]

    def test_friends_follow_each_other(self, lastfm: LastfmTables) -> None:
        pairs = set(table(lastfm, FOLLOWS).select("follower_id", "followee_id").rows())
        assert len(pairs) == 2 * 12_717
        assert {(b, a) for a, b in pairs} == pairs

    def test_taggings(self, lastfm: LastfmTables) -> None:
        taggings = table(lastfm, ITEM_CATEGORIES)
        assert taggings["weight"].sum() == 186_479
        assert taggings["item_id"].n_unique() == 12_523

    def test_every_id_is_described(self, lastfm: LastfmTables) -> None:
        graph = graph_from_tables(lastfm, no_reject)
        assert (len(graph.users), len(graph.items)) == (1_892, 18_022)
        assert len(graph.categories) == 9_749


class TestNames:
    def test_titles(self, lastfm: LastfmTables) -> None:
        items = dict(table(lastfm, ITEMS).select("item_id", "title").iter_rows())
        assert items["289"] == "Britney Spears"
        assert items["18"] == "The Crüxshadows"
        assert '"Weird Al" Yankovic' in items.values()
        assert sum(title is not None for title in items.values()) == 17_632

    def test_tags(self, lastfm: LastfmTables) -> None:
        tags = table(lastfm, CATEGORIES)
        names = dict(tags.select("category_id", "name").iter_rows())
        assert names["1"] == "metal"
        assert names["4571"] == "rock français"
        assert tags["name"].null_count() == 0
        assert tags["kind"].unique().to_list() == ["tag"]


class TestOriginalFiles:
    @pytest.mark.long
    def test_they_give_the_same_tables(self, lastfm: LastfmTables, original: Path) -> None:
        files = LastfmTables(original)
        assert files.specs == lastfm.specs
        for spec in lastfm.specs:
            assert table(files, spec).equals(table(lastfm, spec)), spec.name

    @pytest.mark.long
    def test_they_give_the_names_of_the_project(self, tmp_path: Path, original: Path) -> None:
        write_names(original, tmp_path / "names.parquet")
        made = pl.read_parquet(tmp_path / "names.parquet")
        kept = Path(__file__).parents[4] / "loaders" / "datasets" / "lastfm_names.parquet"
        assert made.equals(pl.read_parquet(kept))

    def test_a_folder_without_them(self, tmp_path: Path) -> None:
        with pytest.raises(TableError, match=r"no user_artists\.dat"):
            LastfmTables(tmp_path)

    def test_files_that_are_others(self, tmp_path: Path) -> None:
        for name in ("artists", "tags", "user_artists", "user_friends", "user_taggedartists"):
            (tmp_path / f"{name}.dat").write_text("a\tb\n1\t2\n")
        with pytest.raises(TableError, match="HetRec 2011"):
            LastfmTables(tmp_path)


def test_a_missing_package_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("loaders.datasets.lastfm._PACKAGE", "no-such-package")
    with pytest.raises(TableError, match=r"recsvc\[lastfm\].*--from DIR"):
        LastfmTables()
