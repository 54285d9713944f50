import csv
from datetime import UTC, date, datetime
from itertools import permutations
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loaders.errors import RejectedRowsError, TableError
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEMS,
    TABLES,
    USERS,
    FolderTables,
    InteractionTotals,
    Rejected,
    Rejects,
    TableSpec,
    as_table,
    graph_from_tables,
    read_interactions,
    refuse_rejected,
)

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
    "null",
    "nan",
    "007",
    "1.0",
    "x" * 512,
    "😀" * 512,
]


def folder_of(folder: Path, **tables: str | bytes | pl.DataFrame) -> Path:
    tables = {"interactions": "user_id,item_id\nu,i\n"} | tables
    for name, content in tables.items():
        if isinstance(content, pl.DataFrame):
            content.write_parquet(folder / f"{name}.parquet")
        else:
            data = content.encode() if isinstance(content, str) else content
            (folder / f"{name}.csv").write_bytes(data)
    return folder


def read(folder: Path, spec: TableSpec) -> tuple[pl.DataFrame, list[Rejected]]:
    rejected: list[Rejected] = []
    batches = list(FolderTables(folder).batches(spec, rejected.append))
    return (pl.concat(batches) if batches else pl.DataFrame()), rejected


def read_csv(folder: Path, text: str | bytes) -> tuple[pl.DataFrame, list[Rejected]]:
    return read(folder_of(folder, interactions=text), INTERACTIONS)


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc]


def no_reject(rejected: Rejected) -> None:
    raise AssertionError(str(rejected))


class TestIds:
    def test_any_character_survives_csv(self, tmp_path: Path) -> None:
        with (tmp_path / "interactions.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("user_id", "item_id"), *((i, i) for i in HOSTILE_IDS)])
        frame, rejected = read(tmp_path, INTERACTIONS)
        assert rejected == []
        assert frame["user_id"].to_list() == frame["item_id"].to_list() == HOSTILE_IDS

    def test_any_character_survives_parquet(self, tmp_path: Path) -> None:
        ids = [*HOSTILE_IDS, "nul\0inside"]
        table = pl.DataFrame({"user_id": ids, "item_id": ids})
        frame, rejected = read(folder_of(tmp_path, interactions=table), INTERACTIONS)
        assert rejected == []
        assert frame["user_id"].to_list() == ids

    def test_csv_numbers_stay_as_they_are_written(self, tmp_path: Path) -> None:
        frame, _ = read_csv(tmp_path, "user_id,item_id\n007,1e3\n7,1000\n")
        assert frame.select("user_id", "item_id").rows() == [("007", "1e3"), ("7", "1000")]

    def test_whole_parquet_numbers_become_their_digits(self, tmp_path: Path) -> None:
        table = pl.DataFrame({"user_id": [-3, 2**40], "item_id": [5.0, 7.0]})
        frame, rejected = read(folder_of(tmp_path, interactions=table), INTERACTIONS)
        assert rejected == []
        assert frame.select("user_id", "item_id").rows() == [("-3", "5"), (str(2**40), "7")]

    def test_a_fraction_is_no_id(self, tmp_path: Path) -> None:
        items = [5.0, 7.5, float("nan"), float("inf"), None, 2.0**60]
        table = pl.DataFrame({"user_id": ["u"] * 6, "item_id": items})
        frame, rejected = read(folder_of(tmp_path, interactions=table), INTERACTIONS)
        assert frame["item_id"].to_list() == ["5"]
        assert [(r.line, r.column, r.reason) for r in rejected[:2]] == [
            (2, "item_id", "'7.5' is not a whole number"),
            (3, "item_id", "'NaN' is not a whole number"),
        ]
        assert [r.line for r in rejected] == [2, 3, 4, 5, 6]

    def test_categorical_ids_are_text(self, tmp_path: Path) -> None:
        table = pl.DataFrame({"user_id": ["a", "b"], "item_id": ["x", "x"]}).cast(pl.Categorical)
        frame, _ = read(folder_of(tmp_path, interactions=table), INTERACTIONS)
        assert frame["user_id"].to_list() == ["a", "b"]

    def test_a_column_that_can_hold_no_ids_is_an_error(self, tmp_path: Path) -> None:
        table = pl.DataFrame({"user_id": [True], "item_id": ["x"]})
        with pytest.raises(TableError, match=r"interactions\.parquet.*'user_id' holds Boolean"):
            read(folder_of(tmp_path, interactions=table), INTERACTIONS)


class TestRejectedRows:
    @pytest.mark.parametrize(
        ("row", "column", "reason"),
        [
            (",i,,,", "user_id", "is missing"),
            ("u,,,,", "item_id", "is missing"),
            ("u," + "x" * 513 + ",,,", "item_id", "513 characters: expected 1 to 512"),
            ("u,i,,abc,", "value", "'abc' is not a finite number"),
            ("u,i,,inf,", "value", "'inf' is not a finite number"),
            ("u,i,,NaN,", "value", "'NaN' is not a finite number"),
            ("u,i,,1e999,", "value", "'1e999' is not a finite number"),
            ('u,i,,"1,5",', "value", "'1,5' is not a finite number"),
            ("u,i,,,soon", "timestamp", "'soon' is neither ISO 8601 nor Unix seconds"),
            ("u,i,,,2020-02-30", "timestamp", "'2020-02-30' is neither ISO 8601 nor Unix seconds"),
            ("u,i,,,1e18", "timestamp", "'1e18' is outside the years 0001 to 9999"),
            ("u,i,,,nan", "timestamp", "'nan' is neither ISO 8601 nor Unix seconds"),
        ],
    )
    def test_each_is_named_by_line_column_and_reason(
        self, tmp_path: Path, row: str, column: str, reason: str
    ) -> None:
        text = f'user_id,item_id,event,value,timestamp\n"two\nlines",i,,,\n\n{row}\nv,j,,,\n'
        frame, rejected = read_csv(tmp_path, text)
        assert frame["user_id"].to_list() == ["two\nlines", "v"]
        assert [(r.file, r.line, r.column, r.reason) for r in rejected] == [
            ("interactions.csv", 5, column, reason)
        ]
        assert rejected[0].row == row

    def test_a_row_of_the_wrong_length(self, tmp_path: Path) -> None:
        frame, rejected = read_csv(tmp_path, "user_id,item_id\na,b,c\nd\ne,f\n")
        assert frame["user_id"].to_list() == ["e"]
        assert [(r.line, r.reason, r.row) for r in rejected] == [
            (2, "3 cells: expected 2, as in the header", "a,b,c"),
            (3, "1 cells: expected 2, as in the header", "d"),
        ]

    def test_broken_utf8_and_nul(self, tmp_path: Path) -> None:
        data = b"user_id,item_id\na,\xff\xfeb\nc\0,d\n\xc3\xa9,f\n"
        frame, rejected = read_csv(tmp_path, data)
        assert frame["user_id"].to_list() == ["é"]
        assert [(r.line, r.column, r.reason) for r in rejected] == [
            (2, "item_id", "is not valid UTF-8"),
            (3, "user_id", "holds a NUL character: the file is damaged, or not UTF-8 text"),
        ]
        assert [r.row for r in rejected] == ["a,\ufffd\ufffdb", "c\ufffd,d"]

    def test_an_oversize_cell(self, tmp_path: Path) -> None:
        frame, rejected = read_csv(tmp_path, f"user_id,item_id\na,{'x' * 200_000}\nb,c\n")
        assert frame["user_id"].to_list() == ["b"]
        assert [(r.line, r.reason) for r in rejected] == [
            (2, "a cell longer than 131,072 characters: is a quote left open?")
        ]
        assert len(rejected[0].row) == 1000

    def test_an_endless_line_is_not_held_in_memory(self, tmp_path: Path) -> None:
        text = f"user_id,item_id\na,{'x,' * 5_000_000}\nb,c\n"
        frame, rejected = read_csv(tmp_path, text)
        assert frame["user_id"].to_list() == ["b"]
        assert [(r.line, r.reason) for r in rejected] == [
            (2, "a line longer than 4,194,304 characters")
        ]

    def test_an_endless_line_after_an_open_quote(self, tmp_path: Path) -> None:
        text = f'user_id,item_id\na,"open\n{"x" * 5_000_000}\nb,c\n'
        frame, rejected = read_csv(tmp_path, text)
        assert frame["user_id"].to_list() == ["b"]
        assert [r.line for r in rejected] == [2, 3]

    def test_an_open_quote_costs_one_row(self, tmp_path: Path) -> None:
        rows = "".join(f"u{n},i{n}\n" for n in range(30_000))
        frame, rejected = read_csv(tmp_path, f'user_id,item_id\na,"open\n{rows}')
        assert frame.height == 30_000
        assert [(r.line, r.reason) for r in rejected] == [
            (2, "a cell longer than 131,072 characters: is a quote left open?")
        ]

    def test_an_open_quote_near_the_end_costs_one_row(self, tmp_path: Path) -> None:
        frame, rejected = read_csv(tmp_path, 'user_id,item_id\na,"open\nb,c\nd,e')
        assert frame["user_id"].to_list() == ["b", "d"]
        assert [(r.line, r.reason, r.row) for r in rejected] == [
            (2, "a quote is left open", 'a,"open')
        ]

    def test_text_after_a_closing_quote(self, tmp_path: Path) -> None:
        frame, rejected = read_csv(tmp_path, 'user_id,item_id\n"a"b,c\nd,e\n')
        assert frame["user_id"].to_list() == ["d"]
        assert rejected[0].reason.startswith("not CSV as in RFC 4180")

    def test_nobody_follows_themselves(self, tmp_path: Path) -> None:
        folder_of(tmp_path, follows="follower_id,followee_id\na,a\na,b\n")
        frame, rejected = read(tmp_path, FOLLOWS)
        assert frame["followee_id"].to_list() == ["b"]
        assert [(r.file, r.line, r.column, r.reason) for r in rejected] == [
            ("follows.csv", 2, "followee_id", "'a' is the follower_id too: expected another id")
        ]

    def test_no_category_is_its_own_parent(self, tmp_path: Path) -> None:
        folder_of(tmp_path, categories="category_id,parent_id\na,a\na,\n")
        frame, rejected = read(tmp_path, CATEGORIES)
        assert frame.rows() == [("a", None, None, None)]
        assert [(r.line, r.column) for r in rejected] == [(2, "parent_id")]

    def test_lines_are_right_in_every_batch(self, tmp_path: Path) -> None:
        rows = "".join("u,i,1\n" if n % 40_000 else "u,i,x\n" for n in range(1, 120_001))
        folder_of(tmp_path, interactions=f"user_id,item_id,value\n{rows}")
        rejected: list[Rejected] = []
        batches = FolderTables(tmp_path).batches(INTERACTIONS, rejected.append)
        assert [batch.height for batch in batches] == [49_999, 49_999, 19_999]
        assert [r.line for r in rejected] == [40_001, 80_001, 120_001]

    def test_parquet_rows_are_counted_from_one(self, tmp_path: Path) -> None:
        values = [1.0] * 60_000
        values[55_000] = float("nan")
        table = pl.DataFrame({"user_id": "u", "item_id": "i", "value": values})
        frame, rejected = read(folder_of(tmp_path, interactions=table), INTERACTIONS)
        assert frame.height == 59_999
        assert [(r.line, r.column) for r in rejected] == [(55_001, "value")]

    def test_broken_utf8_in_parquet(self, tmp_path: Path) -> None:
        broken = pa.array([b"ok", b"\xff", b"fine"], pa.binary()).view(pa.string())
        table = pa.table({"user_id": ["a", "b", "c"], "item_id": broken})
        pq.write_table(table, tmp_path / "interactions.parquet")
        frame, rejected = read(tmp_path, INTERACTIONS)
        assert frame["user_id"].to_list() == ["a", "c"]
        assert [(r.line, r.column, r.reason) for r in rejected] == [
            (2, "item_id", "is not valid UTF-8")
        ]


class TestCsvForm:
    @pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"])
    def test_line_ends_and_byte_order_mark(self, tmp_path: Path, line_end: str) -> None:
        text = line_end.join(["user_id,item_id", "a,b", "", "c,"])
        frame, rejected = read_csv(tmp_path, b"\xef\xbb\xbf" + text.encode())
        assert frame["user_id"].to_list() == ["a"]
        assert [r.line for r in rejected] == [4]

    def test_header_alone_is_an_empty_table(self, tmp_path: Path) -> None:
        frame, rejected = read_csv(tmp_path, "item_id,user_id\n")
        assert (frame.height, rejected) == (0, [])

    def test_missing_event_is_interaction(self, tmp_path: Path) -> None:
        frame, _ = read_csv(tmp_path, "user_id,item_id,event\nu,i,\nu,i,view\n")
        assert frame["event"].to_list() == ["interaction", "view"]
        frame, _ = read_csv(tmp_path, "user_id,item_id\nu,i\n")
        assert frame["event"].to_list() == ["interaction"]

    @pytest.mark.parametrize("rows", [0, 1, 10, 200_000])
    def test_row_count_is_about_right(self, tmp_path: Path, rows: int) -> None:
        folder_of(tmp_path, interactions="user_id,item_id\n" + "user,item\n" * rows)
        count = FolderTables(tmp_path).row_count(INTERACTIONS)
        assert count == pytest.approx(rows, rel=0.01)


class TestTimes:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("2009-04-01", at(2009, 4, 1)),
            ("2009-04-01T12:30", at(2009, 4, 1, 12, 30)),
            ("2009-04-01 12:30:05", at(2009, 4, 1, 12, 30, 5)),
            ("2009-04-01T12:30:05Z", at(2009, 4, 1, 12, 30, 5)),
            ("2009-04-01t12:30:05.5z", at(2009, 4, 1, 12, 30, 5, 500_000)),
            ("2009-04-01T12:30:05,123456789Z", at(2009, 4, 1, 12, 30, 5, 123_456)),
            ("2009-04-01T00:30:00+02:00", at(2009, 3, 31, 22, 30)),
            ("2009-04-01T00:30:00-0530", at(2009, 4, 1, 6)),
            ("2009-04-01T00:30:00+01", at(2009, 3, 31, 23, 30)),
            ("0001-01-01T00:00:00Z", at(1, 1, 1)),
            ("9999-12-31T23:59:59.999999Z", at(9999, 12, 31, 23, 59, 59, 999_999)),
            ("0", at(1970, 1, 1)),
            (" 1238536800 ", at(2009, 3, 31, 22)),
            ("1238536800.25", at(2009, 3, 31, 22, 0, 0, 250_000)),
            ("-417139200", at(1956, 10, 13)),
            ("1.2385368e9", at(2009, 3, 31, 22)),
        ],
    )
    def test_text(self, tmp_path: Path, text: str, expected: datetime) -> None:
        frame, rejected = read_csv(tmp_path, f'user_id,item_id,timestamp\nu,i,"{text}"\n')
        assert rejected == []
        assert frame["timestamp"].to_list() == [expected]

    @pytest.mark.parametrize(
        "text",
        [
            "2009-13-01",
            "2009-4-1",
            "2009-04",
            "01/04/2009",
            "2009-04-01T24:00:00Z",
            "2009-04-01T12:60",
            "2009-04-01T12:00:60Z",
            "2009-04-01T12:00+24:00",
            "2009-04-01T12:00:00 Europe/Paris",
            "0000-01-01",
            "0001-01-01T00:00:00+00:01",
            "9999-12-31T23:59:59-00:01",
            "253402300800",
            "-62135596801",
            "1238536800000",
            "1e400",
            "-inf",
        ],
    )
    def test_bad_text(self, tmp_path: Path, text: str) -> None:
        frame, rejected = read_csv(tmp_path, f"user_id,item_id,timestamp\nu,i,{text}\n")
        assert frame.is_empty()
        assert [r.column for r in rejected] == ["timestamp"]

    @pytest.mark.parametrize(
        "column",
        [
            pl.Series([datetime(2009, 4, 1, 12)], dtype=pl.Datetime("ms")),  # noqa: DTZ001
            pl.Series([datetime(2009, 4, 1, 12)], dtype=pl.Datetime("ns")),  # noqa: DTZ001
            pl.Series([at(2009, 4, 1, 12)]).dt.convert_time_zone("Asia/Kathmandu"),
            pl.Series([1_238_587_200]),
            pl.Series([1_238_587_200.0]),
            pl.Series(["2009-04-01T12:00Z"]),
        ],
    )
    def test_parquet_types(self, tmp_path: Path, column: pl.Series) -> None:
        table = pl.DataFrame({"user_id": "u", "item_id": "i", "timestamp": column})
        frame, rejected = read(folder_of(tmp_path, interactions=table), INTERACTIONS)
        assert rejected == []
        assert frame["timestamp"].to_list() == [at(2009, 4, 1, 12)]

    def test_parquet_dates_and_times_out_of_range(self, tmp_path: Path) -> None:
        far = pl.Series([0, 2**62]).cast(pl.Datetime("ms"))
        table = pl.DataFrame({"user_id": "u", "item_id": "i", "timestamp": far})
        frame, rejected = read(folder_of(tmp_path, interactions=table), INTERACTIONS)
        assert frame["timestamp"].to_list() == [at(1970, 1, 1)]
        assert [(r.line, r.row) for r in rejected] == [(2, f"u,i,{2**62}")]
        table = table.with_columns(timestamp=pl.Series([date(2009, 4, 1), date(1, 1, 1)]))
        frame, _ = read(folder_of(tmp_path, interactions=table), INTERACTIONS)
        assert frame["timestamp"].to_list() == [at(2009, 4, 1), at(1, 1, 1)]


class TestItemsAndUsers:
    def test_known_columns_are_typed_and_others_become_properties(self, tmp_path: Path) -> None:
        text = "url,item_id,available,created_at,title\nx,i,Yes,0,T\n,j,,,\n"
        frame, rejected = read(folder_of(tmp_path, items=text), ITEMS)
        assert rejected == []
        assert frame.columns == ["item_id", "title", "created_at", "available", "url"]
        assert frame.rows() == [
            ("i", "T", at(1970, 1, 1), True, "x"),
            ("j", None, None, None, None),
        ]

    @pytest.mark.parametrize(
        ("text", "flag"),
        [
            *((text, True) for text in ("true", "TRUE", "1", "yes")),
            *((text, False) for text in ("false", "False", "0", " no ")),
            ("", None),
        ],
    )
    def test_booleans(self, tmp_path: Path, text: str, flag: bool | None) -> None:
        frame, _ = read(folder_of(tmp_path, items=f"item_id,available\ni,{text}\n"), ITEMS)
        assert frame["available"].to_list() == [flag]

    def test_bad_boolean(self, tmp_path: Path) -> None:
        _, rejected = read(folder_of(tmp_path, items="item_id,available\ni,perhaps\n"), ITEMS)
        assert [(r.column, r.reason) for r in rejected] == [
            ("available", "'perhaps' is not a boolean: expected true or false")
        ]

    def test_parquet_properties_keep_their_type(self, tmp_path: Path) -> None:
        table = pl.DataFrame(
            {
                "item_id": ["i"],
                "price": [9.99],
                "stock": pl.Series([3], dtype=pl.UInt8),
                "tags": [["a", "b"]],
                "day": [date(2020, 1, 2)],
                "seen": [datetime(2020, 1, 2)],  # noqa: DTZ001
                "label": pl.Series(["x"], dtype=pl.Categorical),
                "nothing": [None],
            }
        )
        frame, rejected = read(folder_of(tmp_path, items=table), ITEMS)
        assert rejected == []
        row = frame.row(0, named=True)
        assert (row["price"], row["stock"], row["tags"]) == (9.99, 3, ["a", "b"])
        assert (row["day"], row["seen"]) == (date(2020, 1, 2), at(2020, 1, 2))
        assert (row["label"], row["nothing"]) == ("x", None)

    def test_parquet_property_values_that_neo4j_cannot_hold(self, tmp_path: Path) -> None:
        table = pl.DataFrame(
            {
                "item_id": ["i", "j", "k"],
                "big": pl.Series([1, 2**63, 2], dtype=pl.UInt64),
                "tags": [["a"], ["a"], ["a", None]],
            }
        )
        frame, rejected = read(folder_of(tmp_path, items=table), ITEMS)
        assert frame["item_id"].to_list() == ["i"]
        assert [(r.line, r.column) for r in rejected] == [(2, "big"), (3, "tags")]

    def test_a_property_type_that_neo4j_has_not(self, tmp_path: Path) -> None:
        folder_of(tmp_path, items=pl.DataFrame({"item_id": ["i"], "size": [{"w": 1}]}))
        with pytest.raises(TableError, match=r"items\.parquet: column 'size' holds Struct"):
            read(tmp_path, ITEMS)

    @pytest.mark.parametrize("column", ["embedding_lightgcn_a", "embedding_x", ""])
    def test_reserved_property_names(self, tmp_path: Path, column: str) -> None:
        folder_of(tmp_path, users=f"user_id,{column}\nu,1\n")
        with pytest.raises(TableError, match="property"):
            FolderTables(tmp_path)


class TestFolder:
    def test_only_tables_that_are_there_in_load_order(self, tmp_path: Path) -> None:
        folder_of(tmp_path, follows="follower_id,followee_id\n", items="item_id\n")
        assert FolderTables(tmp_path).specs == (ITEMS, FOLLOWS, INTERACTIONS)
        assert [spec.name for spec in TABLES[-2:]] == ["follows", "interactions"]

    def test_missing_interactions_says_what_was_found(self, tmp_path: Path) -> None:
        (tmp_path / "interaction.csv").write_text("user_id,item_id\n")
        with pytest.raises(TableError, match=r"holds interaction\.csv: expected interactions\.csv"):
            FolderTables(tmp_path)

    def test_missing_folder(self, tmp_path: Path) -> None:
        with pytest.raises(TableError, match="is not a folder"):
            FolderTables(tmp_path / "nowhere")

    def test_missing_column_says_what_was_found(self, tmp_path: Path) -> None:
        folder_of(tmp_path, interactions="user,item_id\na,b\n")
        with pytest.raises(
            TableError, match=r"interactions\.csv has no column 'user_id': it has 'user', 'item_id'"
        ):
            FolderTables(tmp_path)

    def test_both_forms_are_ambiguous(self, tmp_path: Path) -> None:
        folder_of(tmp_path)
        pl.DataFrame({"user_id": ["a"], "item_id": ["b"]}).write_parquet(
            tmp_path / "interactions.parquet"
        )
        with pytest.raises(TableError, match=r"interactions\.csv and interactions\.parquet"):
            FolderTables(tmp_path)

    def test_repeated_column(self, tmp_path: Path) -> None:
        folder_of(tmp_path, interactions="user_id,item_id,user_id\n")
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
    def test_files_that_are_no_csv(self, tmp_path: Path, data: bytes, says: str) -> None:
        folder_of(tmp_path, interactions=data)
        with pytest.raises(TableError, match=says):
            FolderTables(tmp_path)

    def test_a_file_that_is_no_parquet(self, tmp_path: Path) -> None:
        (tmp_path / "interactions.parquet").write_bytes(b"user_id,item_id\n")
        with pytest.raises(TableError, match="cannot be read as Parquet"):
            FolderTables(tmp_path)

    def test_what_is_not_used_is_named(self, tmp_path: Path) -> None:
        folder_of(tmp_path, interactions="user_id,item_id,device\n", follow="a,b\n")
        assert FolderTables(tmp_path).warnings == (
            "interactions.csv: column 'device' is not used",
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

    def test_a_path_that_cannot_be_written(self, tmp_path: Path) -> None:
        with (
            Rejects(tmp_path / "no" / "rejects.csv") as rejects,
            pytest.raises(TableError, match="cannot be written"),
        ):
            rejects.add(self.rejected())

    def test_strict_names_the_first_and_keeps_all(self, tmp_path: Path) -> None:
        folder_of(tmp_path, interactions="user_id,item_id\n,b\na,\n")
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
        path.write_text("item_id,user_id,value,timestamp,x\ni,u,2,0,y\n")
        expected = [("u", "i", "interaction", 2.0, at(1970, 1, 1))]
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


ROWS = st.tuples(
    st.sampled_from(["u", "v"]),
    st.sampled_from(["i", "j"]),
    st.sampled_from(["view", "buy"]),
    st.none() | st.floats(-1e6, 1e6, allow_nan=False),
    st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2030, 1, 1)),  # noqa: DTZ001
)


def interactions(rows: list[tuple[object, ...]]) -> pl.DataFrame:
    names = ["user_id", "item_id", "event", "value", "timestamp"]
    cells = {name: [row[n] for row in rows] for n, name in enumerate(names)}
    return as_table(INTERACTIONS, pl.DataFrame(cells, strict=False))


def totals(*batches: pl.DataFrame) -> list[tuple[object, ...]]:
    adding = InteractionTotals()
    for batch in batches:
        adding.add(batch)
    return adding.frame().rows()


class TestTotals:
    def test_planted_answer(self) -> None:
        rows = [
            ("u", "i", "view", 2.0, datetime(2020, 1, 2)),  # noqa: DTZ001
            ("u", "i", "view", None, datetime(2020, 1, 1)),  # noqa: DTZ001
            ("u", "i", "view", 3.0, datetime(2020, 1, 2)),  # noqa: DTZ001
            ("u", "i", "view", 9.0, None),
            ("u", "i", "buy", None, None),
        ]
        assert totals(interactions(rows)) == [
            ("u", "i", "buy", 1, 1.0, None, None, None),
            ("u", "i", "view", 4, 15.0, 3.0, at(2020, 1, 1), at(2020, 1, 2)),
        ]

    def test_tenths_add_up_the_same_in_any_order(self) -> None:
        values = [0.1, 0.2, 0.3, 0.7, 1e9]
        answers = {
            totals(*(interactions([("u", "i", "e", value, None)]) for value in order))[0][4]
            for order in permutations(values)
        }
        assert answers == {1_000_000_001.3}

    @settings(max_examples=200, deadline=None)
    @given(rows=st.lists(ROWS, max_size=12), data=st.data())
    def test_neither_order_nor_batches_matter(
        self, rows: list[tuple[object, ...]], data: st.DataObject
    ) -> None:
        shuffled = data.draw(st.permutations(rows))
        cut = data.draw(st.integers(0, len(rows)))
        parts = [interactions(part) for part in (shuffled[:cut], shuffled[cut:]) if part]
        assert totals(*parts) == totals(*([interactions(rows)] if rows else []))

    def test_many_batches_are_compacted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("loaders.tables._totals._COMPACT_ROWS", 3)
        batch = interactions([("u", "i", "e", 1.0, None), ("v", "i", "e", 1.0, None)])
        assert [row[3] for row in totals(*[batch] * 9)] == [9, 9]


class TestGraph:
    def test_planted_graph(self, tmp_path: Path) -> None:
        folder_of(
            tmp_path,
            interactions="user_id,item_id,event,value,timestamp,event_id\n"
            "b,y,view,2,0,\nb,y,view,,10,\na,y,view,,,\na,x,buy,5,,e1\na,x,buy,5,,e1\na,x,buy,,,\n",
            items="item_id\nz\n",
            users="user_id,name\nc,Cem\n",
            follows="follower_id,followee_id\nb,d\na,b\nb,d\n",
            categories="category_id,parent_id\nrock,music\nrock,\nfolk,music\n",
            item_categories="item_id,category_id,weight\ny,rock,2\ny,rock,3\nw,jazz,\n",
            preferences="user_id,category_id\na,rock\n",
        )
        graph = graph_from_tables(FolderTables(tmp_path), no_reject)
        assert list(graph.users) == ["a", "b", "c", "d"]
        assert list(graph.items) == ["w", "x", "y", "z"]
        assert list(graph.categories) == ["folk", "jazz", "music", "rock"]
        found = graph.interactions
        assert found.events == ("buy", "view")
        assert found.user_index.tolist() == [0, 0, 1]
        assert found.item_index.tolist() == [1, 2, 2]
        assert found.event_index.tolist() == [0, 1, 1]
        assert found.weight.tolist() == [6.0, 1.0, 3.0]
        np.testing.assert_array_equal(found.last_at, [np.nan, np.nan, 10.0])
        edges = (graph.follows, graph.prefers, graph.in_category, graph.subcategory_of)
        assert [(e.source.tolist(), e.target.tolist(), e.weight.tolist()) for e in edges] == [
            ([0, 1], [1, 3], [1.0, 1.0]),
            ([0], [3], [1.0]),
            ([0, 2], [1, 3], [1.0, 3.0]),
            ([0, 3], [2, 2], [1.0, 1.0]),
        ]

    def test_interactions_alone_and_empty(self, tmp_path: Path) -> None:
        graph = graph_from_tables(
            FolderTables(folder_of(tmp_path, interactions="user_id,item_id\n")), no_reject
        )
        assert (len(graph.users), len(graph.items), len(graph.interactions)) == (0, 0, 0)

    def test_ids_sort_by_code_point(self, tmp_path: Path) -> None:
        ids = ["é", "z", "Z", "10", "9", "😀", "\uffee"]
        folder_of(tmp_path, users="user_id\n" + "\n".join(ids) + "\n")
        graph = graph_from_tables(FolderTables(tmp_path), no_reject)
        assert list(graph.users) == sorted([*ids, "u"])

    def test_more_kinds_of_events_than_arrays_can_hold(self, tmp_path: Path) -> None:
        rows = "".join(f"u,i,event{n}\n" for n in range(128))
        folder_of(tmp_path, interactions=f"user_id,item_id,event\n{rows}")
        with pytest.raises(TableError, match="128 kinds of event: expected at most 127"):
            graph_from_tables(FolderTables(tmp_path), no_reject)


def test_every_table_and_column_of_the_contract() -> None:
    found = {spec.name: (spec.required, set(spec.names)) for spec in TABLES}
    assert found == {
        "interactions": (
            ("user_id", "item_id"),
            {"user_id", "item_id", "event", "value", "timestamp", "event_id"},
        ),
        "follows": (("follower_id", "followee_id"), {"follower_id", "followee_id", "since"}),
        "items": (("item_id",), {"item_id", "title", "created_at", "available"}),
        "users": (("user_id",), {"user_id", "name"}),
        "categories": (("category_id",), {"category_id", "name", "kind", "parent_id"}),
        "item_categories": (("item_id", "category_id"), {"item_id", "category_id", "weight"}),
        "preferences": (("user_id", "category_id"), {"user_id", "category_id", "weight"}),
    }
    assert [spec.name for spec in TABLES if spec.properties] == [ITEMS.name, USERS.name]
