import csv
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from loaders.errors import RejectedRowsError, TableError
from loaders.tables import (
    FOLLOWS,
    INTERACTIONS,
    ITEMS,
    TABLES,
    FolderTables,
    Rejected,
    Rejects,
    TableSpec,
    forget_rejected,
    read_interactions,
    refuse_rejected,
)

WriteTables = Callable[..., Path]
ReadTable = Callable[[Path, TableSpec], tuple[pl.DataFrame, list[Rejected]]]
ReadCsv = Callable[[str | bytes], tuple[pl.DataFrame, list[Rejected]]]


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


class TestFolder:
    def test_only_tables_that_are_there_in_load_order(
        self, write_tables: WriteTables, tmp_path: Path
    ) -> None:
        write_tables(follows="follower_id,followee_id\n", items="item_id\n")
        assert FolderTables(tmp_path).specs == (ITEMS, FOLLOWS, INTERACTIONS)
        assert [spec.name for spec in TABLES[-2:]] == ["follows", "interactions"]

    def test_missing_interactions_says_what_was_found(self, tmp_path: Path) -> None:
        (tmp_path / "interaction.csv").write_text("user_id,item_id\n")
        with pytest.raises(TableError, match=r"holds interaction\.csv: expected interactions\.csv"):
            FolderTables(tmp_path)

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(TableError, match="is not a folder"):
            FolderTables(tmp_path / "nowhere")

    def test_missing_column_says_what_was_found(
        self, write_tables: WriteTables, tmp_path: Path
    ) -> None:
        write_tables(interactions="user,item_id\na,b\n")
        with pytest.raises(
            TableError, match=r"interactions\.csv has no column 'user_id': it has 'user', 'item_id'"
        ):
            FolderTables(tmp_path)

    def test_both_forms_are_ambiguous(self, write_tables: WriteTables, tmp_path: Path) -> None:
        write_tables()
        pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}).write_parquet(
            tmp_path / "interactions.parquet"
        )
        with pytest.raises(TableError, match=r"interactions\.csv and interactions\.parquet"):
            FolderTables(tmp_path)

    def test_repeated_column(self, write_tables: WriteTables, tmp_path: Path) -> None:
        write_tables(interactions="user_id,item_id,user_id\n")
        with pytest.raises(TableError, match="several columns 'user_id'"):
            FolderTables(tmp_path)

    @pytest.mark.parametrize(
        ("data", "says"),
        [
            (b"", "is empty"),
            ("user_id,item_id\n".encode("utf-16"), "is not UTF-8"),
            (b'"user_id,item_id\n', "no CSV header"),
        ],
    )
    def test_files_that_are_no_csv(
        self, write_tables: WriteTables, tmp_path: Path, data: bytes, says: str
    ) -> None:
        write_tables(interactions=data)
        with pytest.raises(TableError, match=says):
            FolderTables(tmp_path)

    def test_a_file_that_is_no_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "interactions.parquet").write_bytes(b"user_id,item_id\n")
        with pytest.raises(TableError, match="cannot be read as Parquet"):
            FolderTables(tmp_path)

    def test_what_is_not_used_is_named(self, write_tables: WriteTables, tmp_path: Path) -> None:
        write_tables(follows="follower_id,followee_id,device\n", follow="a,b\n")
        assert FolderTables(tmp_path).warnings == (
            "follows.csv: column 'device' is not used",
            "follow.csv is not used: there is no table of that name",
        )


class TestRejects:
    def rejected(self, line: int = 2) -> Rejected:
        return Rejected("items.csv", line, "title", "is bad", 'a,"b"\nc')

    def test_file_is_made_with_the_first_row(self, tmp_path: Path) -> None:
        path = tmp_path / "rejects.csv"
        with Rejects(path) as rejects:
            assert not path.exists()
            rejects.add(self.rejected())
            rejects.add(self.rejected(3))
        with path.open(encoding="utf-8", newline="") as file:
            assert list(csv.DictReader(file)) == [
                {"file": "items.csv", "line": line, "column": "title", "reason": "is bad"}
                | {"row": 'a,"b"\nc'}
                for line in ("2", "3")
            ]
        assert rejects.counts == {"items": 2}

    def test_file_of_an_earlier_run_does_not_stay(self, tmp_path: Path) -> None:
        path = tmp_path / "rejects.csv"
        with Rejects(path) as rejects:
            rejects.add(self.rejected())
        with Rejects(path):
            pass
        assert not path.exists()

    def test_another_file_is_never_touched(self, tmp_path: Path) -> None:
        path = tmp_path / "interactions.csv"
        path.write_text("user_id,item_id\n")
        with Rejects(path):
            pass
        with Rejects(path) as rejects, pytest.raises(TableError, match="name another file"):
            rejects.add(self.rejected())
        assert path.read_text() == "user_id,item_id\n"

    @pytest.mark.parametrize(
        ("who", "row"),
        [
            ('a"b', '"a""b",i'),
            ('a"b', r'{"user_id": "a\"b"}'),
            ("é/1", r'{"user_id": "\u00e9\/1"}'),
            ("x\n\U0001f600", r'{"user_id": "x\n\ud83d\ude00"'),
        ],
    )
    def test_somebody_is_forgotten_however_the_row_writes_them(
        self, tmp_path: Path, who: str, row: str
    ) -> None:
        path = tmp_path / "rejects.csv"
        with Rejects(path) as rejects:
            rejects.add(Rejected("items.csv", 2, "title", "is bad", row))
            rejects.add(Rejected("items.csv", 3, "title", "is bad", '"aab",\\'))
        forget_rejected(path, who)
        assert [line.split(",")[1] for line in path.read_text().splitlines()] == ["line", "3"]

    def test_a_path_that_cannot_be_written(self, tmp_path: Path) -> None:
        with (
            Rejects(tmp_path / "no" / "rejects.csv") as rejects,
            pytest.raises(TableError, match="cannot be written"),
        ):
            rejects.add(self.rejected())

    def test_strict_names_the_first_and_keeps_all(
        self, write_tables: WriteTables, tmp_path: Path
    ) -> None:
        write_tables(interactions="user_id,item_id\n,b\na,\n")
        path = tmp_path / "out.txt"
        with (
            Rejects(path) as rejects,
            pytest.raises(RejectedRowsError, match=r"2 rejected.*line 2, column user_id"),
        ):
            refuse_rejected(FolderTables(tmp_path), rejects)
        assert len(path.read_text().splitlines()) == 3


class TestReadInteractions:
    def test_csv_and_parquet(self, tmp_path: Path) -> None:
        path = tmp_path / "train.csv"
        path.write_text("item_id,user_id,value,timestamp,x\ni,u,2,86400,y\n")
        expected = [("u", "i", "interaction", 2.0, at(1970, 1, 2))]
        assert read_interactions(path).rows() == expected
        read_interactions(path).write_parquet(tmp_path / "train.parquet")
        frame = read_interactions(tmp_path / "train.parquet")
        assert frame.rows() == expected
        assert frame.columns == ["user_id", "item_id", "event", "value", "timestamp"]

    def test_lightgcn_text(self, tmp_path: Path) -> None:
        path = tmp_path / "train.txt"
        path.write_text("0 10 11\n1\n\n2 10\n")
        frame = read_interactions(path)
        assert frame.select("user_id", "item_id").rows() == [("0", "10"), ("0", "11"), ("2", "10")]
        assert frame["event"].unique().to_list() == ["interaction"]
        assert frame.columns == ["user_id", "item_id", "event", "value", "timestamp"]

    def test_a_repeated_event_counts_once(self, tmp_path: Path) -> None:
        path = tmp_path / "train.csv"
        path.write_text("user_id,item_id,event_id\nu,i,e\nu,i,e\nu,i,\nu,i,\n")
        assert read_interactions(path).height == 3

    @pytest.mark.parametrize("name", ["train.tsv", "train.txt", "train.csv", "train.parquet"])
    def test_files_that_are_none(self, tmp_path: Path, name: str) -> None:
        (tmp_path / name).write_text("user_id\n")
        with pytest.raises(TableError):
            read_interactions(tmp_path / name)
        with pytest.raises(TableError):
            read_interactions(tmp_path / f"missing-{name}")

    def test_a_bad_row_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "train.csv"
        path.write_text("user_id,item_id\nu,\n")
        with pytest.raises(RejectedRowsError, match=r"train\.csv, line 2, column item_id"):
            read_interactions(path)
