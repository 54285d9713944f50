"""Tables of many files, sources of several kinds, and other names of files and columns."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from loaders.errors import TableError
from loaders.tables import (
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    FolderTables,
    Rejected,
    Rejects,
    Tables,
    TableSpec,
    open_tables,
    parse_mapping,
)

HEADER = "user_id,item_id\n"
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file under a path within the folder."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    return write


def no_reject(rejected: Rejected) -> None:
    raise AssertionError(str(rejected))


def users(tables: Tables) -> list[str]:
    frame = pl.concat([pl.DataFrame(), *tables.batches(INTERACTIONS, no_reject)], how="diagonal")
    return frame["user_id"].to_list()


def rejected_in(tables: Tables, spec: TableSpec) -> list[str]:
    rejected: list[Rejected] = []
    for _ in tables.batches(spec, rejected.append):
        pass
    return [str(each) for each in rejected]


class TestParts:
    @pytest.mark.parametrize(
        "name",
        [
            "interactions-1.csv",
            "interactions_2024-01.csv",
            "interactions.2024-01.csv",
            "interactions-part-0003.csv",
            "interactions.part2.csv",
            "interactions/anything.csv",
            "interactions/deep name.tsv",
        ],
    )
    def test_what_is_a_part(self, write: Write, tmp_path: Path, name: str) -> None:
        write(name, f"{HEADER}u,i\n")
        assert users(FolderTables(tmp_path)) == ["u"]

    @pytest.mark.parametrize(
        "name", ["interactions_old.csv", "interactions-backup.csv", "interactions2.csv"]
    )
    def test_what_is_none_is_named(self, write: Write, tmp_path: Path, name: str) -> None:
        write("interactions.csv", f"{HEADER}u,i\n")
        write(name, f"{HEADER}old,i\n")
        tables = FolderTables(tmp_path)
        assert users(tables) == ["u"]
        assert len(tables.warnings) == 1
        assert tables.warnings[0].startswith(f"{name} is not used")

    def test_no_table_takes_the_files_of_another(self, write: Write, tmp_path: Path) -> None:
        write("interactions.csv", HEADER)
        write("items.csv", "item_id\n")
        write("item_categories-1.csv", "item_id,category_id\ni,c\n")
        write("related_items.csv", "item_id,related_id\n")
        tables = FolderTables(tmp_path)
        assert [spec.name for spec in tables.specs] == [
            "items",
            "item_categories",
            "related_items",
            "interactions",
        ]
        assert tables.warnings == ()
        assert tables.row_count(ITEM_CATEGORIES) == 1
        assert tables.row_count(ITEMS) == 0

    def test_they_count_in_the_order_of_their_names(self, write: Write, tmp_path: Path) -> None:
        for name in ("interactions-2.csv", "interactions-1.csv", "interactions-10.csv"):
            write(name, f"{HEADER}{name},i\n")
        assert users(FolderTables(tmp_path)) == [
            "interactions-1.csv",
            "interactions-10.csv",
            "interactions-2.csv",
        ]
        assert FolderTables(tmp_path).row_count(INTERACTIONS) == 3

    def test_rejected_rows_name_the_part_and_count_for_the_table(
        self, write: Write, tmp_path: Path
    ) -> None:
        write("interactions/a.csv", f"{HEADER}u,i\n")
        write("interactions/b.csv", f"{HEADER}u,\n")
        assert rejected_in(FolderTables(tmp_path), INTERACTIONS) == [
            "interactions/b.csv, line 2, column item_id: is missing"
        ]
        with Rejects(tmp_path / "rejects.csv") as rejects:
            for _ in FolderTables(tmp_path).batches(INTERACTIONS, rejects.add):
                pass
        assert rejects.counts == {"interactions": 1}

    def test_columns_of_all_parts_come_in_every_batch(self, write: Write, tmp_path: Path) -> None:
        write("interactions-1.csv", "user_id,item_id,device\nu,i,phone\n")
        write("interactions-2.csv", "city,item_id,user_id\nRome,i,v\n")
        frame = pl.concat(FolderTables(tmp_path).batches(INTERACTIONS, no_reject))
        assert frame.select("user_id", "device", "city").rows() == [
            ("u", "phone", None),
            ("v", None, "Rome"),
        ]

    def test_numbers_of_two_kinds_join_and_other_types_do_not(self, tmp_path: Path) -> None:
        ids = {"user_id": ["u"], "item_id": ["i"]}
        pl.DataFrame(ids | {"x": [1]}).write_parquet(tmp_path / "interactions-1.parquet")
        pl.DataFrame(ids | {"x": [2.5]}).write_parquet(tmp_path / "interactions-2.parquet")
        frame = pl.concat(FolderTables(tmp_path).batches(INTERACTIONS, no_reject))
        assert frame["x"].to_list() == [1.0, 2.5]
        pl.DataFrame(ids | {"x": ["y"]}).write_parquet(tmp_path / "interactions-3.parquet")
        with pytest.raises(TableError, match=r"interactions-3\.parquet: column 'x' holds String"):
            FolderTables(tmp_path)

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            ("interactions.csv", "interactions.tsv"),
            ("interactions.csv", "interactions.csv.gz"),
            ("interactions.csv", "interactions.jsonl"),
            ("interactions-1.csv", "interactions-2.jsonl"),
            ("interactions.csv", "interactions/part.csv"),
            ("interactions/a.csv", "interactions/b.jsonl"),
        ],
    )
    def test_several_forms_are_an_error(
        self, write: Write, tmp_path: Path, one: str, other: str
    ) -> None:
        write(one, HEADER)
        write(other, HEADER)
        with pytest.raises(TableError, match=r"holds .* and .*: expected one"):
            FolderTables(tmp_path)

    def test_a_folder_of_something_else_is_no_table(self, write: Write, tmp_path: Path) -> None:
        write("interactions.csv", f"{HEADER}u,i\n")
        write("items/picture.png", "")
        assert FolderTables(tmp_path).specs == (INTERACTIONS,)


class TestSources:
    def test_a_folder(self, write: Write, tmp_path: Path) -> None:
        write("interactions.csv", f"{HEADER}u,i\n")
        assert users(open_tables(str(tmp_path))) == ["u"]

    @pytest.mark.parametrize("name", ["interactions-2024.csv", "clicks.csv"])
    def test_a_single_file(self, write: Write, name: str) -> None:
        path = write(name, f"{HEADER}u,i\n")
        assert users(open_tables(str(path))) == ["u"]

    def test_a_single_file_of_another_table(self, write: Write) -> None:
        path = write("follows.csv", "follower_id,followee_id\na,a\n")
        tables = open_tables(str(path))
        assert tables.specs == (FOLLOWS,)
        assert rejected_in(tables, FOLLOWS)[0].startswith("follows.csv, line 2, column followee")

    def test_a_pattern_of_files_and_of_folders(self, write: Write, tmp_path: Path) -> None:
        write("2023/interactions.csv", f"{HEADER}u,i\n")
        write("2024/interactions.csv", f"{HEADER}v,\nw,i\n")
        write("2024/items.csv", "item_id\n")
        tables = open_tables(f"{tmp_path}/20*")
        assert tables.specs == (ITEMS, INTERACTIONS)
        assert rejected_in(tables, INTERACTIONS) == [
            "2024/interactions.csv, line 2, column item_id: is missing"
        ]
        for pattern in ("20*/*.csv", "**/inter*.csv", "**"):
            found = open_tables(f"{tmp_path}/{pattern}")
            assert found.row_count(INTERACTIONS) == 3
            assert found.warnings == ()

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("nowhere", "is neither a file nor a folder"),
            ("no*where", "matches nothing"),
            ("*.csv", "matches no table"),
            ("picture.png", "is not CSV"),
        ],
    )
    def test_nothing_to_read(self, write: Write, tmp_path: Path, name: str, says: str) -> None:
        write("clicks.csv", HEADER)
        write("picture.png", "")
        with pytest.raises(TableError, match=says):
            open_tables(f"{tmp_path}/{name}")


class TestMapping:
    def test_files_and_columns_of_other_names(self, write: Write, tmp_path: Path) -> None:
        write("events.csv", "visitorid,item_id,amount,user_id\nu,i,2,x\n")
        write("follows.csv", "from,to\na,b\na,a\n,b\n")
        mapping = parse_mapping(
            [
                "interactions=events",
                "interactions.user_id=visitorid",
                "interactions.value=amount",
                "follows.follower_id=from",
                "follows.followee_id=to",
            ]
        )
        tables = open_tables(str(tmp_path), mapping)
        frame = pl.concat(tables.batches(INTERACTIONS, no_reject))
        assert frame.select("user_id", "value").rows() == [("u", 2.0)]
        assert tables.warnings == (
            "events.csv: column 'user_id' is not used: 'visitorid' is read as it",
        )
        assert rejected_in(tables, FOLLOWS) == [
            "follows.csv, line 3, column to: 'a' is the from too: expected another id",
            "follows.csv, line 4, column from: is missing",
        ]

    def test_two_tables_from_one_file(self, write: Write, tmp_path: Path) -> None:
        write("log.csv", "who,item_id\nu,i\n")
        mapping = parse_mapping(["interactions=log", "items=log", "interactions.user_id=who"])
        assert open_tables(str(tmp_path), mapping).specs == (ITEMS, INTERACTIONS)

    def test_a_further_column_gets_another_name(self, write: Write, tmp_path: Path) -> None:
        write("interactions.csv", "user_id,item_id,weight\nu,i,3\n")
        with pytest.raises(TableError, match="'weight' cannot become a property"):
            open_tables(str(tmp_path))
        tables = open_tables(str(tmp_path), parse_mapping(["interactions.strength=weight"]))
        assert pl.concat(tables.batches(INTERACTIONS, no_reject))["strength"].to_list() == ["3"]

    @pytest.mark.parametrize(
        ("texts", "says"),
        [
            (["interactions"], "maps nothing"),
            (["interactions.=x"], "maps nothing"),
            (["interactions.user_id="], "maps nothing"),
            (["clicks.user_id=x"], "there is no table 'clicks': expected one of items"),
            (["follows.user_id=x"], "follows has no column 'user_id'"),
            (["interactions.weight=x"], "interactions has no column 'weight'"),
            (["items=a", "items=b"], "'items' is mapped to 'a' already"),
            (["items.title=a", "items.title=b"], "'title' is mapped to 'a' already"),
            (["follows.follower_id=x", "follows.followee_id=x"], "are both mapped to 'x'"),
        ],
    )
    def test_what_cannot_be_meant(self, texts: list[str], says: str) -> None:
        with pytest.raises(TableError, match=says):
            parse_mapping(texts)

    @pytest.mark.parametrize(
        ("texts", "says"),
        [
            (["interactions.value=amount"], r"interactions\.csv has no column 'amount'"),
            (["interactions=events"], r"expected events\.csv"),
            (["items.title=name"], r"expected items\.csv"),
        ],
    )
    def test_what_is_mapped_has_to_be_there(
        self, write: Write, tmp_path: Path, texts: list[str], says: str
    ) -> None:
        path = write("interactions.csv", HEADER)
        for source in (tmp_path, path, f"{tmp_path}/inter*.csv"):
            if source == path and texts == ["interactions=events"]:
                continue
            with pytest.raises(TableError, match=says):
                open_tables(str(source), parse_mapping(texts))


class TestOnlyAndDrop:
    ITEMS_FILE = "item_id,title,price,margin\ni,T,2,1\n"

    def columns(self, folder: Path, **options: list[str]) -> list[str]:
        tables = FolderTables(folder, parse_mapping([], **options))  # pyright: ignore[reportArgumentType]
        assert tables.warnings == ()
        (frame,) = tables.batches(ITEMS, no_reject)
        return [name for name in frame.columns if name not in ITEMS.names]

    def test_which_columns_become_properties(self, write: Write, tmp_path: Path) -> None:
        write("interactions.csv", HEADER)
        write("items.csv", self.ITEMS_FILE)
        assert self.columns(tmp_path) == ["price", "margin"]
        assert self.columns(tmp_path, drop=["items.margin"]) == ["price"]
        assert self.columns(tmp_path, only=["items.margin"]) == ["margin"]
        assert self.columns(tmp_path, only=["items"]) == []
        assert self.columns(tmp_path, drop=["items.title"]) == ["price", "margin"]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"only": ["items.colour"]}, "items has no column 'colour': expected one of 'item_id'"),
            ({"drop": ["items.colour"]}, "items has no column 'colour': expected one of 'item_id'"),
            ({"drop": ["items.item_id"]}, "items needs its column 'item_id': keep it"),
            ({"drop": ["products.price"]}, "there is no table 'products'"),
        ],
    )
    def test_what_cannot_be_chosen(
        self, write: Write, tmp_path: Path, options: dict[str, list[str]], message: str
    ) -> None:
        write("interactions.csv", HEADER)
        write("items.csv", self.ITEMS_FILE)
        with pytest.raises(TableError, match=message):
            self.columns(tmp_path, **options)
