import shlex
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl
import pytest

from loaders.errors import TableError
from loaders.tables import (
    INTERACTIONS,
    ITEMS,
    FolderTables,
    Rejected,
    TableSpec,
    parse_mapping,
)

WriteTables = Callable[..., Path]
ReadTable = Callable[[Path, TableSpec], tuple[pl.DataFrame, list[Rejected]]]
ReadCsv = Callable[[str | bytes], tuple[pl.DataFrame, list[Rejected]]]


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)


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
            ("1970-01-02", at(1970, 1, 2)),
            ("86400", at(1970, 1, 2)),
            ("20231114", at(2023, 11, 14)),
            ("20231114.0", at(2023, 11, 14)),
            ("20231114T101010", at(2023, 11, 14, 10, 10, 10)),
            ("20231114T1010+0200", at(2023, 11, 14, 8, 10)),
            ("31231399", at(1970, 12, 28, 11, 23, 19)),
            (" 1238536800 ", at(2009, 3, 31, 22)),
            ("1238536800.25", at(2009, 3, 31, 22, 0, 0, 250_000)),
            ("1.2385368e9", at(2009, 3, 31, 22)),
        ],
    )
    def test_text(self, read_csv: ReadCsv, text: str, expected: datetime) -> None:
        frame, rejected = read_csv(f'user_id,item_id,timestamp\nu,i,"{text}"\n')
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
            "0001-01-01T00:00:00Z",
            "9999-12-31T23:59:59.999999Z",
            "1970-01-01T23:59:59.999999Z",
            "86399.9",
            "0",
            "2023",
            "44927.5",
            "20231114T",
            "20231399",
            "20231114.5",
            "20231114 1",
            "1e400",
            "-inf",
        ],
    )
    def test_bad_text(self, read_csv: ReadCsv, text: str) -> None:
        frame, rejected = read_csv(f"user_id,item_id,timestamp\nu,i,{text}\n")
        assert frame.is_empty()
        assert [r.column for r in rejected] == ["timestamp"]

    @pytest.mark.parametrize(
        "column",
        [
            pl.Series([datetime(2009, 4, 1, 12)], dtype=pl.Datetime("ms")),
            pl.Series([datetime(2009, 4, 1, 12)], dtype=pl.Datetime("ns")),
            pl.Series([at(2009, 4, 1, 12)]).dt.convert_time_zone("Asia/Kathmandu"),
            pl.Series([1_238_587_200]),
            pl.Series([1_238_587_200.0]),
            pl.Series(["2009-04-01T12:00Z"]),
        ],
    )
    def test_parquet_types(
        self, write_tables: WriteTables, read_table: ReadTable, column: pl.Series
    ) -> None:
        table = pl.DataFrame({"user_id": "u", "item_id": "i", "timestamp": column})
        frame, rejected = read_table(write_tables(interactions=table), INTERACTIONS)
        assert rejected == []
        assert frame["timestamp"].to_list() == [at(2009, 4, 1, 12)]

    def test_parquet_dates_and_times_out_of_range(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        far = pl.Series([86_400_000, 2**62]).cast(pl.Datetime("ms"))
        table = pl.DataFrame({"user_id": "u", "item_id": "i", "timestamp": far})
        frame, rejected = read_table(write_tables(interactions=table), INTERACTIONS)
        assert frame["timestamp"].to_list() == [at(1970, 1, 2)]
        row = f'{{"user_id":"u","item_id":"i","timestamp":{2**62}}}'
        assert [(r.line, r.row) for r in rejected] == [(2, row)]
        table = table.with_columns(timestamp=pl.Series([date(2009, 4, 1), date(1, 1, 1)]))
        frame, _ = read_table(write_tables(interactions=table), INTERACTIONS)
        assert frame["timestamp"].to_list() == [at(2009, 4, 1)]

    @pytest.mark.parametrize("dtype", [pl.Int64, pl.Float64, pl.String])
    def test_numbers_that_are_dates(
        self, write_tables: WriteTables, read_table: ReadTable, dtype: pl.DataType
    ) -> None:
        numbers = pl.Series([20231114, 2023]).cast(dtype)
        table = pl.DataFrame({"user_id": "u", "item_id": "i", "timestamp": numbers})
        frame, rejected = read_table(write_tables(interactions=table), INTERACTIONS)
        assert frame["timestamp"].to_list() == [at(2023, 11, 14)]
        assert [r.line for r in rejected] == [2]

    def test_tomorrow_is_the_last_day(self, read_csv: ReadCsv) -> None:
        now = datetime.now(UTC)
        near, far = now + timedelta(hours=23), now + timedelta(hours=25)
        for column in (f"{near.isoformat()}\nu,i,{far.isoformat()}", f"{near:%s}\nu,i,{far:%s}"):
            frame, rejected = read_csv(f"user_id,item_id,timestamp\nu,i,{column}\n")
            assert frame.height == 1
            assert [r.reason.endswith("' is after tomorrow") for r in rejected] == [True]

    def test_times_that_become_properties_may_lie_anywhere(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        table = pl.DataFrame({"item_id": ["i"], "until": [at(2090, 1, 1)]})
        frame, rejected = read_table(write_tables(items=table), ITEMS)
        assert (frame["until"].to_list(), rejected) == ([at(2090, 1, 1)], [])

    @pytest.mark.parametrize(
        ("form", "text", "expected"),
        [
            ("%m/%d/%Y %H:%M", "12/1/2010 8:26", at(2010, 12, 1, 8, 26)),
            ("%Y/%m/%d", "2018/07/19", at(2018, 7, 19)),
            ("%d.%m.%Y", " 19.07.2018 ", at(2018, 7, 19)),
            ("%b %d, %Y %I:%M %p", "Jul 19, 2018 1:05 PM", at(2018, 7, 19, 13, 5)),
            ("%Y-%m-%d %H:%M:%S %z", "2018-07-19 10:00:00 +0200", at(2018, 7, 19, 8)),
            ("%Y%m%d%H%M%S", "20180719102030", at(2018, 7, 19, 10, 20, 30)),
            ("ms", "1531995630250", at(2018, 7, 19, 10, 20, 30, 250_000)),
            ("ms", "2018-07-19T10:20:30Z", at(2018, 7, 19, 10, 20, 30)),
        ],
    )
    def test_the_form_that_the_caller_names(
        self, write_tables: WriteTables, form: str, text: str, expected: datetime
    ) -> None:
        rows = f'user_id,item_id,timestamp\nu,i,"{text}"\nv,i,soon\nw,i,\n'
        tables = FolderTables(write_tables(interactions=rows), parse_mapping([], date_format=form))
        rejected: list[Rejected] = []
        frame = pl.concat(tables.batches(INTERACTIONS, rejected.append))
        assert frame["timestamp"].to_list() == [expected, None]
        assert [(r.line, r.reason) for r in rejected] == [
            (3, "'soon' is neither of the form that --date-format names nor ISO 8601")
        ]

    @pytest.mark.parametrize("numbers", [[1531995630250], [1531995630250.0]])
    def test_milliseconds_in_a_column_of_numbers(
        self, write_tables: WriteTables, numbers: list[float]
    ) -> None:
        table = pl.DataFrame({"user_id": "u", "item_id": "i", "timestamp": numbers})
        tables = FolderTables(write_tables(interactions=table), parse_mapping([], date_format="ms"))
        frame = pl.concat(tables.batches(INTERACTIONS, lambda rejected: pytest.fail(str(rejected))))
        assert frame["timestamp"].to_list() == [at(2018, 7, 19, 10, 20, 30, 250_000)]

    @pytest.mark.parametrize("form", ["", "date", "%H:%M", "%Q", "dd/mm/yyyy"])
    def test_a_form_that_tells_no_date(self, form: str) -> None:
        with pytest.raises(TableError, match="is no form of a time: expected one such as"):
            parse_mapping([], date_format=form)


class TestItemsAndUsers:
    def test_known_columns_are_typed_and_others_become_properties(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        text = "url,item_id,available,created_at,title\nx,i,Yes,86400,T\n,j,,,\n"
        frame, rejected = read_table(write_tables(items=text), ITEMS)
        assert rejected == []
        assert frame.columns == ["item_id", "title", "created_at", "available", "url"]
        assert frame.rows() == [
            ("i", "T", at(1970, 1, 2), True, "x"),
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
    def test_booleans(
        self, write_tables: WriteTables, read_table: ReadTable, text: str, flag: bool | None
    ) -> None:
        frame, _ = read_table(write_tables(items=f"item_id,available\ni,{text}\n"), ITEMS)
        assert frame["available"].to_list() == [flag]

    def test_bad_boolean(self, write_tables: WriteTables, read_table: ReadTable) -> None:
        _, rejected = read_table(write_tables(items="item_id,available\ni,perhaps\n"), ITEMS)
        assert [(r.column, r.reason) for r in rejected] == [
            ("available", "'perhaps' is not a boolean: expected true or false")
        ]

    def test_parquet_properties_keep_their_type(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        table = pl.DataFrame(
            {
                "item_id": ["i"],
                "price": [9.99],
                "stock": pl.Series([3], dtype=pl.UInt8),
                "tags": [["a", "b"]],
                "day": [date(2020, 1, 2)],
                "seen": [datetime(2020, 1, 2)],
                "label": pl.Series(["x"], dtype=pl.Categorical),
                "nothing": [None],
            }
        )
        frame, rejected = read_table(write_tables(items=table), ITEMS)
        assert rejected == []
        row = frame.row(0, named=True)
        assert (row["price"], row["stock"], row["tags"]) == (9.99, 3, ["a", "b"])
        assert (row["day"], row["seen"]) == (date(2020, 1, 2), at(2020, 1, 2))
        assert (row["label"], row["nothing"]) == ("x", None)

    def test_parquet_property_values_that_neo4j_cannot_hold(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        table = pl.DataFrame(
            {
                "item_id": ["i", "j", "k"],
                "big": pl.Series([1, 2**63, 2], dtype=pl.UInt64),
                "tags": [["a"], ["a"], ["a", None]],
            }
        )
        frame, rejected = read_table(write_tables(items=table), ITEMS)
        assert frame["item_id"].to_list() == ["i"]
        assert [(r.line, r.column) for r in rejected] == [(2, "big"), (3, "tags")]

    def test_a_property_type_that_neo4j_has_not(
        self, write_tables: WriteTables, read_table: ReadTable, tmp_path: Path
    ) -> None:
        write_tables(items=pl.DataFrame({"item_id": ["i"], "size": [{"w": 1}]}))
        with pytest.raises(TableError, match=r"items\.parquet: column 'size' holds Struct"):
            read_table(tmp_path, ITEMS)

    @pytest.mark.parametrize(
        ("table", "column", "values", "instead"),
        [
            ("items", "unit price", [{"w": 1}], "leave it out with --drop 'items.unit price'"),
            ("items", "title", [{"w": 1}], "leave it out with --drop items.title"),
            ("items", "available", [[True]], "leave it out with --drop items.available"),
            ("items", "created_at", [time(1, 2)], "leave it out with --drop items.created_at"),
            ("items", "seen", [time(1, 2)], "leave it out with --drop items.seen"),
            ("interactions", "timestamp", [time(1)], "leave it out with --drop interactions.at"),
            ("interactions", "value", [[1.5]], "leave it out with --drop interactions.value"),
            (
                "interactions",
                "user_id",
                [b"u"],
                "name another column with --map interactions.user_id=COLUMN",
            ),
        ],
    )
    def test_a_type_that_no_column_can_have_comes_with_what_to_do(
        self, write_tables: WriteTables, tmp_path: Path, table: str, column: str,
        values: list[object], instead: str,
    ) -> None:  # fmt: skip
        theirs = "at" if column == "timestamp" else column
        frame = pl.DataFrame({"user_id": ["u"], "item_id": ["i"]} | {theirs: values})
        if table == "interactions":
            write_tables(interactions=frame)
        else:
            write_tables(items=frame.drop("user_id"))
        mapping = parse_mapping(["interactions.timestamp=at"] if theirs == "at" else [])
        with pytest.raises(TableError) as refused:
            FolderTables(tmp_path, mapping)
        assert f"column '{theirs}' holds" in str(refused.value)
        assert str(refused.value).endswith(f": store it so, or {instead}")
        if "--drop" in instead:
            option = shlex.split(instead.partition("--drop ")[2])
            FolderTables(tmp_path, parse_mapping([], drop=option))

    def test_a_float_that_is_no_number_is_a_missing_text_or_property(
        self, write_tables: WriteTables, read_table: ReadTable
    ) -> None:
        nan = float("nan")
        table = pl.DataFrame({"item_id": ["i", "j"], "title": [nan, 7.0], "price": [nan, 2.5]})
        events = pl.DataFrame({"user_id": ["u"], "item_id": ["i"], "event": [nan]})
        folder = write_tables(items=table, interactions=events)
        frame, rejected = read_table(folder, ITEMS)
        assert frame.select("title", "price").rows() == [(None, None), ("7", 2.5)]
        frame, more = read_table(folder, INTERACTIONS)
        assert (frame["event"].to_list(), rejected, more) == (["interaction"], [], [])

    @pytest.mark.parametrize("column", ["embedding_lightgcn_a", "embedding_x"])
    def test_reserved_property_names(
        self, write_tables: WriteTables, tmp_path: Path, column: str
    ) -> None:
        write_tables(users=f"user_id,{column}\nu,1\n")
        with pytest.raises(TableError, match=rf"property.*--drop users\.{column}"):
            FolderTables(tmp_path)


def test_numbers_with_a_comma(write_tables: WriteTables) -> None:
    """A point stands between thousands only; elsewhere it would be read as a hundredth of it."""
    cells = ["12,5", " 1.234,50 ", "-1.234.567", "1234,5", "7", "12.5", "1.23", "1,2,3", ",5", ""]
    rows = "".join(f'u,i{n},"{cell}"\n' for n, cell in enumerate(cells))
    folder = write_tables(interactions=f"user_id,item_id,value\n{rows}")
    mapping = parse_mapping([], decimal_comma=True)
    tables, rejected = FolderTables(folder, mapping), list[Rejected]()
    read = pl.concat(list(tables.batches(INTERACTIONS, rejected.append)))
    assert dict(zip(read["item_id"], read["value"], strict=True)) == {
        "i0": 12.5, "i1": 1234.5, "i3": 1234.5, "i4": 7.0, "i8": 0.5, "i9": None,
    }  # fmt: skip
    assert [each.line for each in rejected] == [4, 7, 8, 9]
