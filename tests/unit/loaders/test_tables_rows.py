import csv
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loaders.errors import TableError
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEMS,
    TABLES,
    FolderTables,
    Rejected,
    TableSpec,
    parse_mapping,
)

WriteTables = Callable[..., Path]
ReadTable = Callable[[Path, TableSpec], tuple[pl.DataFrame, list[Rejected]]]
ReadCsv = Callable[[str | bytes], tuple[pl.DataFrame, list[Rejected]]]


HOSTILE_IDS = [
    "'; MATCH (n) DETACH DELETE n //",
    '"quoted"',
    "`ticks`",
    "back\\slash",
    "$param",
    "{curly}",
    "comma,and;semicolon",
    "two\nlines",
    "tab\there",
    " leading and trailing ",
    "😀👩‍👩‍👧",
    "\u202eright to left\u202c",
    "مرحبا",
    "e\u0301",
    "é",
    "a/b",
    "a%2Fb",
    "nullable",
    "007",
    "1.0",
    "x" * 512,
    "😀" * 512,
]


class TestIds:
    def test_any_character_survives_csv(self, read_table: ReadTable, tmp_path: Path) -> None:
        with (tmp_path / "interactions.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("user_id", "item_id"), *((i, i) for i in HOSTILE_IDS)])
        frame, rejected = read_table(tmp_path, INTERACTIONS)
        assert rejected == []
        assert frame["user_id"].to_list() == frame["item_id"].to_list() == HOSTILE_IDS

    def test_any_character_survives_parquet(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        ids = [*HOSTILE_IDS, "nul\0inside"]
        table = pl.DataFrame({"user_id": ids, "item_id": ids})
        frame, rejected = read_table(write_tables(interactions=table), INTERACTIONS)
        assert rejected == []
        assert frame["user_id"].to_list() == ids

    def test_csv_numbers_stay_as_they_are_written(self, read_csv: ReadCsv) -> None:
        frame, _ = read_csv("user_id,item_id\n007,1e3\n7,1000\n")
        assert frame.select("user_id", "item_id").rows() == [("007", "1e3"), ("7", "1000")]

    def test_whole_parquet_numbers_become_their_digits(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        table = pl.DataFrame({"user_id": [-3, 2**40], "item_id": [5.0, 7.0]})
        frame, rejected = read_table(write_tables(interactions=table), INTERACTIONS)
        assert rejected == []
        assert frame.select("user_id", "item_id").rows() == [("-3", "5"), (str(2**40), "7")]

    def test_a_fraction_is_no_id(self, write_tables: WriteTables, read_table: ReadTable) -> None:
        items = [5.0, 7.5, float("nan"), float("inf"), None, 2.0**60]
        table = pl.DataFrame({"user_id": ["u"] * 6, "item_id": items})
        frame, rejected = read_table(write_tables(interactions=table), INTERACTIONS)
        assert frame["item_id"].to_list() == ["5"]
        assert [(r.line, r.column, r.reason) for r in rejected[:2]] == [
            (2, "item_id", "'7.5' is not a whole number"),
            (3, "item_id", "'NaN' is not a whole number"),
        ]
        assert [r.line for r in rejected] == [2, 3, 4, 5, 6]

    def test_a_float_that_may_stand_for_two_numbers_is_no_id(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        exact = pl.Series([2.0**53 - 1, 2.0**53])
        short = pl.Series([2.0**24 - 1, 2.0**24], dtype=pl.Float32)
        for ids, digits in ((exact, "9007199254740991"), (short, "16777215")):
            table = pl.DataFrame({"user_id": "u", "item_id": ids})
            frame, rejected = read_table(write_tables(interactions=table), INTERACTIONS)
            assert frame["item_id"].to_list() == [digits]
            assert [(r.line, r.column) for r in rejected] == [(2, "item_id")]

    def test_categorical_ids_are_text(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        table = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "x"]}).cast(pl.Categorical)
        frame, _ = read_table(write_tables(interactions=table), INTERACTIONS)
        assert frame["user_id"].to_list() == ["a", "b"]

    def test_a_column_that_can_hold_no_ids_is_an_error(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        table = pl.DataFrame({"user_id": [True], "item_id": ["x"]})
        with pytest.raises(TableError, match=r"interactions\.parquet.*'user_id' holds Boolean"):
            read_table(write_tables(interactions=table), INTERACTIONS)

    def test_a_column_that_can_be_no_property_comes_with_how_to_leave_it_out(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        table = pl.DataFrame({"item_id": ["i"], "t": [{"a": 1}]})
        with pytest.raises(TableError, match=r"'t' holds Struct.*--drop items\.t$"):
            read_table(write_tables(items=table), ITEMS)


NO_TIME = (
    "is neither ISO 8601 nor Unix seconds: write it as 2018-07-19 or 2018-07-19T08:26:00Z, or say "
    "how to read it with --date-format"
)


class TestRejectedRows:
    @pytest.mark.parametrize(
        ("row", "column", "reason"),
        [
            (",i,,,", "user_id", "is missing"),
            ("u,,,,", "item_id", "is missing"),
            ("u," + "x" * 513 + ",,,", "item_id", "513 characters: expected 1 to 512"),
            ("u,i,,abc,", "value", "'abc' is not a finite number"),
            ("u,i,,1000000.5,", "value", "'1000000.5' is beyond ±1,000,000"),
            ("u,i,,-1e200,", "value", "'-1e200' is beyond ±1,000,000"),
            ("u,i," + "x" * 101 + ",,", "event", "101 characters: expected a kind of at most 100"),
            ("u,i,,inf,", "value", "'inf' is not a finite number"),
            ("u,i,,NaN,", "value", "'NaN' is not a finite number"),
            ("u,i,,1e999,", "value", "'1e999' is not a finite number"),
            (
                'u,i,,"1,5",',
                "value",
                "'1,5' is not a finite number: write a point, as in 1.5, or say --decimal-comma",
            ),
            ("u,i,,,soon", "timestamp", f"'soon' {NO_TIME}"),
            ("u,i,,,2020-02-30", "timestamp", f"'2020-02-30' {NO_TIME}"),
            ("u,i,,,1e18", "timestamp", "'1e18' is after tomorrow"),
            ("u,i,,,nan", "timestamp", f"'nan' {NO_TIME}"),
        ],
    )
    def test_each_is_named_by_line_column_and_reason(
        self, read_csv: ReadCsv, row: str, column: str, reason: str
    ) -> None:
        text = f'user_id,item_id,event,value,timestamp\n"two\nlines",i,,,\n\n{row}\nv,j,,,\n'
        frame, rejected = read_csv(text)
        assert frame["user_id"].to_list() == ["two\nlines", "v"]
        assert [(r.file, r.line, r.column, r.reason) for r in rejected] == [
            ("interactions.csv", 5, column, reason)
        ]
        assert rejected[0].row == row

    @pytest.mark.parametrize("text", ["NULL", "null", "nan", "None", "\\N", "#N/A", " ", "\u00a0"])
    def test_what_stands_for_no_id(
        self, read_csv: ReadCsv, write_tables: WriteTables, tmp_path: Path, text: str
    ) -> None:
        frame, rejected = read_csv(f"user_id,item_id\n{text},i\nu,{text}\nv,none\n")
        assert frame["item_id"].to_list() == ["none"]
        reason = f"'{text}' stands for no id: leave the row out, or say --keep-null-ids"
        assert [(r.line, r.column, r.reason) for r in rejected] == [
            (2, "user_id", reason),
            (3, "item_id", reason),
        ]
        kept = FolderTables(tmp_path, parse_mapping([], null_ids=True))
        frame = pl.concat(kept.batches(INTERACTIONS, rejected.append))
        assert (frame["user_id"].to_list(), len(rejected)) == ([text, "u", "v"], 2)

    def test_kinds_of_event_beyond_the_limit(self, read_csv: ReadCsv) -> None:
        rows = "".join(f"u,i,event{n}\n" for n in range(130))
        frame, rejected = read_csv(f"user_id,item_id,event\n{rows}u,i,event99\nu,i,\n")
        assert frame["event"].to_list() == [*(f"event{n}" for n in range(100)), "event99"]
        assert len(rejected) == 31
        assert (rejected[0].line, rejected[0].column, rejected[0].reason) == (
            102,
            "event",
            "'event100' is one more than 100 kinds of event: is the column event what you mean?",
        )

    @pytest.mark.parametrize("table", ["item_categories", "related_items", "preferences"])
    def test_weights_of_links_have_the_limit_of_values(
        self, write_tables: WriteTables, read_table: ReadTable, table: str
    ) -> None:
        (spec,) = (spec for spec in TABLES if spec.name == table)
        rows = f"{','.join(spec.required)},weight\na,b,1e39\na,c,-1000000\n"
        frame, rejected = read_table(write_tables(**{table: rows}), spec)
        assert frame["weight"].to_list() == [-1e6]
        assert [r.reason for r in rejected] == ["'1e39' is beyond ±1,000,000"]

    def test_a_row_of_the_wrong_length(self, read_csv: ReadCsv) -> None:
        frame, rejected = read_csv("user_id,item_id\na,b,c\nd\ne,f\n")
        assert frame["user_id"].to_list() == ["e"]
        assert [(r.line, r.reason, r.row) for r in rejected] == [
            (2, "3 cells: expected 2, as in the header", "a,b,c"),
            (3, "1 cells: expected 2, as in the header", "d"),
        ]

    def test_broken_utf8_and_nul(self, read_csv: ReadCsv) -> None:
        data = b"user_id,item_id\na,\xff\xfeb\nc\0,d\n\xc3\xa9,f\n"
        frame, rejected = read_csv(data)
        assert frame["user_id"].to_list() == ["é"]
        assert [(r.line, r.column, r.reason) for r in rejected] == [
            (2, "item_id", "is not valid UTF-8: save the file as UTF-8"),
            (3, "user_id", "holds a NUL character: the file is damaged, or not UTF-8 text"),
        ]
        assert [r.row for r in rejected] == ["a,\ufffd\ufffdb", "c\ufffd,d"]

    def test_an_oversize_cell(self, read_csv: ReadCsv) -> None:
        frame, rejected = read_csv(f"user_id,item_id\na,{'x' * 200_000}\nb,c\n")
        assert frame["user_id"].to_list() == ["b"]
        assert [(r.line, r.reason) for r in rejected] == [
            (2, "a cell longer than 131,072 characters: is a quote left open?")
        ]
        assert len(rejected[0].row) == 131_072

    def test_an_endless_line_is_not_held_in_memory(self, read_csv: ReadCsv) -> None:
        text = f"user_id,item_id\na,{'x,' * 5_000_000}\nb,c\n"
        frame, rejected = read_csv(text)
        assert frame["user_id"].to_list() == ["b"]
        assert [(r.line, r.reason) for r in rejected] == [(2, "a line longer than 4,194,304 bytes")]

    def test_an_endless_line_after_an_open_quote(self, read_csv: ReadCsv) -> None:
        text = f'user_id,item_id\na,"open\n{"x" * 5_000_000}\nb,c\n'
        frame, rejected = read_csv(text)
        assert frame["user_id"].to_list() == ["b"]
        assert [r.line for r in rejected] == [2, 3]

    def test_an_open_quote_costs_one_row(self, read_csv: ReadCsv) -> None:
        rows = "".join(f"u{n},i{n}\n" for n in range(30_000))
        frame, rejected = read_csv(f'user_id,item_id\na,"open\n{rows}')
        assert frame.height == 30_000
        assert [(r.line, r.reason) for r in rejected] == [
            (2, "a cell longer than 131,072 characters: is a quote left open?")
        ]

    def test_an_open_quote_near_the_end_costs_one_row(self, read_csv: ReadCsv) -> None:
        frame, rejected = read_csv('user_id,item_id\na,"open\nb,c\nd,e')
        assert frame["user_id"].to_list() == ["b", "d"]
        assert [(r.line, r.reason, r.row) for r in rejected] == [
            (2, "a quote is left open", 'a,"open')
        ]

    def test_text_after_a_closing_quote(self, read_csv: ReadCsv) -> None:
        frame, rejected = read_csv('user_id,item_id\n"a"b,c\nd,e\n')
        assert frame["user_id"].to_list() == ["d"]
        assert rejected[0].reason.startswith("not CSV as in RFC 4180")

    def test_nobody_follows_themselves(
        self, write_tables: WriteTables, read_table: ReadTable, tmp_path: Path
    ) -> None:
        write_tables(follows="follower_id,followee_id\na,a\na,b\n")
        frame, rejected = read_table(tmp_path, FOLLOWS)
        assert frame["followee_id"].to_list() == ["b"]
        assert [(r.file, r.line, r.column, r.reason) for r in rejected] == [
            ("follows.csv", 2, "followee_id", "'a' is the follower_id too: expected another id")
        ]

    def test_no_category_is_its_own_parent(
        self, write_tables: WriteTables, read_table: ReadTable, tmp_path: Path
    ) -> None:
        write_tables(categories="category_id,parent_id\na,a\na,\n")
        frame, rejected = read_table(tmp_path, CATEGORIES)
        assert frame.rows() == [("a", None, None, None)]
        assert [(r.line, r.column) for r in rejected] == [(2, "parent_id")]

    def test_lines_are_right_in_every_batch(
        self, write_tables: WriteTables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("loaders.tables._text.BLOCK_BYTES", 100_000)
        rows = "".join("u,i,1\n" if n % 40_000 else "u,i,x\n" for n in range(1, 120_001))
        write_tables(interactions=f"user_id,item_id,value\n{rows}")
        rejected: list[Rejected] = []
        batches = list(FolderTables(tmp_path).batches(INTERACTIONS, rejected.append))
        assert len(batches) > 3
        assert sum(batch.height for batch in batches) == 119_997
        assert [r.line for r in rejected] == [40_001, 80_001, 120_001]

    def test_parquet_rows_are_counted_from_one(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        values = [1.0] * 60_000
        values[55_000] = float("nan")
        table = pl.DataFrame({"user_id": "u", "item_id": "i", "value": values})
        frame, rejected = read_table(write_tables(interactions=table), INTERACTIONS)
        assert frame.height == 59_999
        assert [(r.line, r.column) for r in rejected] == [(55_001, "value")]

    def test_broken_utf8_in_parquet(self, read_table: ReadTable, tmp_path: Path) -> None:
        broken = pa.array([b"ok", b"\xff", b"fine"], pa.binary()).view(pa.string())
        table = pa.table({"user_id": ["a", "b", "c"], "item_id": broken})
        pq.write_table(table, tmp_path / "interactions.parquet")
        frame, rejected = read_table(tmp_path, INTERACTIONS)
        assert frame["user_id"].to_list() == ["a", "c"]
        assert [(r.line, r.column, r.reason) for r in rejected] == [
            (2, "item_id", "is not valid UTF-8: save the file as UTF-8")
        ]
        assert rejected[0].row == '{"user_id":"b","item_id":"\ufffd"}'


class TestCsvForm:
    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
    def test_line_ends_and_byte_order_mark(self, read_csv: ReadCsv, line_end: str) -> None:
        text = line_end.join(["user_id,item_id", "a,b", "", "c,"])
        frame, rejected = read_csv(b"\xef\xbb\xbf" + text.encode())
        assert frame["user_id"].to_list() == ["a"]
        assert [r.line for r in rejected] == [4]

    def test_header_alone_is_an_empty_table(self, read_csv: ReadCsv) -> None:
        frame, rejected = read_csv("item_id,user_id\n")
        assert (frame.height, rejected) == (0, [])

    def test_missing_event_is_interaction(self, read_csv: ReadCsv) -> None:
        frame, _ = read_csv("user_id,item_id,event\nu,i,\nu,i,view\n")
        assert frame["event"].to_list() == ["interaction", "view"]
        frame, _ = read_csv("user_id,item_id\nu,i\n")
        assert frame["event"].to_list() == ["interaction"]

    @pytest.mark.parametrize("rows", [0, 1, 10, 200_000])
    def test_row_count_is_about_right(
        self, write_tables: WriteTables, tmp_path: Path, rows: int
    ) -> None:
        write_tables(interactions="user_id,item_id\n" + "user,item\n" * rows)
        count = FolderTables(tmp_path).row_count(INTERACTIONS)
        assert count == pytest.approx(rows, rel=0.01)
