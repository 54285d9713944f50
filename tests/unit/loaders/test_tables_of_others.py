"""Files as other programs write them: taken, or refused in a line that names the way."""

from collections.abc import Callable
from decimal import Decimal
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
    ITEM_CATEGORIES,
    ITEMS,
    RELATED_ITEMS,
    SAME_NAMES,
    USERS,
    Distinct,
    Rejected,
    Rejects,
    TableMapping,
    TableSpec,
    as_table,
    open_tables,
    parse_mapping,
)

Read = Callable[..., tuple[pl.DataFrame, list[str], tuple[str, ...]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads a file of some bytes: its good rows, why others are rejected, and the warnings."""

    def of(
        data: bytes,
        name: str = "interactions.csv",
        spec: TableSpec = INTERACTIONS,
        mapping: TableMapping = SAME_NAMES,
    ) -> tuple[pl.DataFrame, list[str], tuple[str, ...]]:
        (tmp_path / name).write_bytes(data)
        tables = open_tables(str(tmp_path / name), mapping)
        rejected: list[Rejected] = []
        empty = pl.DataFrame()
        frame = pl.concat([empty, *tables.batches(spec, rejected.append)], how="diagonal")
        return frame, [str(each) for each in rejected], tuple(tables.warnings)

    return of


NAMELESS = ("interactions.csv: a column without a name is not used",)


@pytest.mark.parametrize(
    "data",
    [
        b",user_id,item_id\n0,a,x\n1,b,y\n",  # pandas
        b'"","user_id","item_id"\n"1","a","x"\n"2","b","y"\n',  # R, write.csv
        b'"user_id","item_id"\n"1","a","x"\n"2","b","y"\n',  # R, write.table
        b"user_id,item_id\n3,a,x\n17,b,y\n",  # the same of some rows
        b"user_id,item_id,\na,x,\nb,y,\n",
        b"user_id,item_id\na,x,\nb,y,\n",
        b",user_id,item_id,\n0,a,x,\n1,b,y,\n",
    ],
)
def test_names_of_rows_and_a_last_comma_are_no_column(read: Read, data: bytes) -> None:
    frame, rejected, warnings = read(data)
    assert frame.select("user_id", "item_id").rows() == [("a", "x"), ("b", "y")]
    assert rejected == []
    assert set(warnings) == set(NAMELESS)


@pytest.mark.parametrize(
    "data",
    [
        b"user_id,item_id\na,x,1\nb,y,2\n",  # what is the third?
        b"user_id,item_id\n2,x,1\n1,y,2\n",
        b"user_id,item_id\n1,a,x\n",  # one row tells nothing
    ],
)
def test_a_cell_too_many_is_guessed_at_nowhere_else(read: Read, data: bytes) -> None:
    frame, rejected, _ = read(data)
    assert frame.is_empty()
    assert all("3 cells: expected 2" in each for each in rejected)


def test_a_name_that_comes_twice_is_left_out_where_nothing_is_read_from_it(
    read: Read, tmp_path: Path
) -> None:
    frame, rejected, warnings = read(b"note,user_id,item_id,note\np,a,x,q\n")
    assert frame.drop("event").row(0)[:2] == ("a", "x")
    assert (frame.columns, rejected) == (list(INTERACTIONS.names), [])
    assert warnings == ("interactions.csv: there are several columns 'note': none is used",)
    _, _, silent = read(
        b"note,user_id,item_id,note\np,a,x,q\n",
        mapping=parse_mapping([], drop=["interactions.note"]),
    )
    assert silent == ()
    for header in (b"item_id,user_id,item_id", b"value,user_id,item_id,value"):
        with pytest.raises(TableError, match="several columns"):
            read(header + b"\n")
    table = pa.Table.from_arrays([pa.array([each]) for each in "axpq"],
                                 names=["user_id", "item_id", "n", "n"])  # fmt: skip
    pq.write_table(table, tmp_path / "twice.parquet")
    (found,) = open_tables(str(tmp_path / "twice.parquet")).batches(INTERACTIONS, pytest.fail)
    assert found.columns == list(INTERACTIONS.names)


def test_damage_in_a_column_that_nobody_reads_costs_no_row(read: Read) -> None:
    latin = "user_id,item_id,city\na,x,München\nb,\0y,Ulm\nc,z,Ulm\n".encode("latin-1")
    _, rejected, _ = read(latin)
    assert rejected == [
        "interactions.csv, line 2, column city: is not valid UTF-8: save the file as UTF-8",
        "interactions.csv, line 3, column item_id: holds a NUL character: the file is damaged, "
        "or not UTF-8 text",
    ]
    frame, rejected, _ = read(latin, mapping=parse_mapping([], drop=["interactions.city"]))
    assert frame["user_id"].to_list() == ["a", "c"]
    assert len(rejected) == 1
    frame, rejected, warnings = read(
        "follower_id,followee_id,note\na,b,Jürgen\n".encode("latin-1"), "follows.csv", FOLLOWS
    )
    assert (frame.height, rejected) == (1, [])
    assert warnings == ("follows.csv: column 'note' is not used",)


def test_decimals_without_a_fraction_are_ids(tmp_path: Path) -> None:
    users = pa.array([Decimal(7), Decimal(10) ** 37], pa.decimal128(38, 0))
    pq.write_table(pa.table({"user_id": users, "item_id": ["x", "y"]}), tmp_path / "a.parquet")
    (frame,) = open_tables(str(tmp_path / "a.parquet")).batches(INTERACTIONS, pytest.fail)
    assert frame["user_id"].to_list() == ["7", "1" + 37 * "0"]
    half = pa.array([Decimal("7.5")], pa.decimal128(38, 1))
    pq.write_table(pa.table({"user_id": half, "item_id": ["x"]}), tmp_path / "b.parquet")
    with pytest.raises(TableError, match="expected text or whole numbers"):
        open_tables(str(tmp_path / "b.parquet"))


@pytest.mark.parametrize("name", ["INTERACTIONS.CSV", "Interactions-2024.csv", "interactions.CSV"])
def test_names_of_files_count_in_any_case(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("user_id,item_id\na,x\n")
    (frame,) = open_tables(str(tmp_path)).batches(INTERACTIONS, pytest.fail)
    assert frame["user_id"].to_list() == ["a"]


@pytest.mark.parametrize(
    ("header", "options"),
    [
        ("CustomerID,StockCode,Quantity,InvoiceDate,Country",
         ["user_id=CustomerID", "item_id=StockCode", "value=Quantity", "timestamp=InvoiceDate"]),
        ("User_ID,item_id", ["user_id=User_ID"]),
        ("visitorid,itemid,event", ["user_id=visitorid", "item_id=itemid"]),
        ("userId,movieId,rating,timestamp", ["user_id=userId", "item_id=movieId", "value=rating"]),
        ("user id,track", ["user_id=user id", "item_id=track"]),
    ],
)  # fmt: skip
def test_likely_columns_are_suggested_and_the_suggestion_works(
    tmp_path: Path, header: str, options: list[str]
) -> None:
    file = tmp_path / "export.csv"
    file.write_text(f"{header}\n")
    with pytest.raises(TableError) as refused:
        open_tables(str(file))
    suggested = str(refused.value).rpartition("; ")[2]
    for option in options:
        ours, theirs = option.split("=")
        assert f"{theirs!r} looks like {ours}" in suggested
    assert suggested.count("--map") == len(options)
    open_tables(str(file), parse_mapping([f"interactions.{option}" for option in options]))


def test_nothing_is_suggested_where_nothing_looks_like_it(tmp_path: Path) -> None:
    (tmp_path / "export.csv").write_text("a,b\n")
    with pytest.raises(TableError, match=r"and may have others$"):
        open_tables(str(tmp_path / "export.csv"))


def test_a_property_that_is_probably_one_of_ours_is_said(read: Read) -> None:
    _, _, warnings = read(b"item_id,name,price\nx,Lamp,5\n", "items.csv", ITEMS)
    assert warnings == (
        "items.csv: column 'name' becomes a property; as title it is --map items.title=name",
    )
    mapped = parse_mapping(["items.title=name"])
    assert read(b"item_id,name,price\nx,Lamp,5\n", "items.csv", ITEMS, mapped)[2] == ()
    only = parse_mapping([], only=["items.price"])
    assert read(b"item_id,name,price\nx,Lamp,5\n", "items.csv", ITEMS, only)[2] == ()


def test_a_name_is_looked_for_among_those_of_its_table(read: Read) -> None:
    users = b"user_id,category,title\na,gold,Dr\n"
    assert read(users, "users.csv", USERS)[2] == ()
    users = b"user_id,User Name\na,Ada\n"
    (said,) = read(users, "users.csv", USERS)[2]
    assert said.endswith("--map 'users.name=User Name'")
    assert read(b"category_id,genre,x\n1,Folk,2\n", "categories.csv", CATEGORIES)[2] == (
        "categories.csv: column 'genre' is not used; as name it is --map categories.name=genre",
        "categories.csv: column 'x' is not used",
    )


def test_files_of_other_names_come_with_how_to_name_them(tmp_path: Path) -> None:
    for name in ("2024-01.csv", "2024-02.csv"):
        (tmp_path / name).write_text("user_id,item_id\na,x\n")
    for source in (str(tmp_path), f"{tmp_path}/2024-*"):
        with pytest.raises(TableError, match="--map interactions=2024-01"):
            open_tables(source)
        both = open_tables(source, parse_mapping(["interactions=2024"]))
        assert both.row_count(INTERACTIONS) == 2


@pytest.mark.parametrize("line_end", ["", "\n"])
def test_a_json_array_comes_with_how_to_make_lines_of_it(tmp_path: Path, line_end: str) -> None:
    objects = ('{"user_id": "a", "item_id": "x"}', ",", '{"user_id": "a", "item_id": "y"}')
    array = line_end.join(["[", objects[0] + objects[1], objects[2], "]"])
    (tmp_path / "interactions.jsonl").write_text(array)
    with pytest.raises(TableError, match=r"jq -c '\.\[\]'"):
        open_tables(str(tmp_path))
    (tmp_path / "interactions.jsonl").rename(tmp_path / "interactions.json")
    with pytest.raises(TableError, match=r"jq -c '\.\[\]'"):
        open_tables(str(tmp_path))


class TestNull:
    INVOICES = (
        b"CustomerID,StockCode,Quantity\n17,A,1\n17,POST,1\n0,B,2\n 0 ,C,2\n18,C,-9\n18,D,-9.0\n"
    )
    NAMES = (
        "interactions.user_id=CustomerID",
        "interactions.item_id=StockCode",
        "interactions.value=Quantity",
    )

    def test_cells_that_stand_for_nothing(self, read: Read) -> None:
        nulls = ["CustomerID=0", "StockCode=POST", "StockCode=M", "Quantity=-9"]
        mapping = parse_mapping(self.NAMES, null=[f"interactions.{each}" for each in nulls])
        frame, rejected, _ = read(self.INVOICES, mapping=mapping)
        assert frame.select("user_id", "item_id", "value").rows() == [
            ("17", "A", 1.0), ("18", "C", None), ("18", "D", -9.0),
        ]  # fmt: skip
        said = ((3, "StockCode", "POST"), (4, "CustomerID", "0"), (5, "CustomerID", " 0 "))
        assert rejected == [
            f"interactions.csv, line {line}, column {column}: {cell!r} stands for no value, as "
            "--null says"
            for line, column, cell in said
        ]

    def test_numbers_are_compared_as_numbers(self, tmp_path: Path) -> None:
        ids = {"user_id": ["a", "b", "c"], "item_id": [7, 0, 1], "value": [0.0, 1.0, None]}
        pl.DataFrame(ids | {"year": [0, 1, 2]}).write_parquet(tmp_path / "a.parquet")
        nulls = ["value=0", "item_id=0", "year=1", "year=2", "year=unknown"]
        mapping = parse_mapping([], null=[f"interactions.{each}" for each in nulls])
        rejected: list[Rejected] = []
        (frame,) = open_tables(str(tmp_path / "a.parquet"), mapping).batches(
            INTERACTIONS, rejected.append
        )
        assert frame.select("item_id", "value", "year").rows() == [
            ("7", None, 0),
            ("1", None, None),
        ]
        assert [each.column for each in rejected] == ["item_id"]

    @pytest.mark.parametrize(
        ("text", "says"),
        [
            ("interactions.value", "empties no cell"),
            ("interactions.value=", "empties no cell"),
            ("interactions=0", "empties no cell"),
            ("clicks.value=0", "there is no table 'clicks'"),
            ("interactions.value=0", "interactions has no column 'value': expected one of 'Cust"),
            ("follows.since=0", r"expected follows\.csv"),
        ],
    )
    def test_what_cannot_be_meant(self, read: Read, text: str, says: str) -> None:
        with pytest.raises(TableError, match=says):
            read(self.INVOICES, mapping=parse_mapping(self.NAMES, null=[text]))


def test_a_table_without_kinds_has_the_one_that_is_named(read: Read) -> None:
    rows = b"user_id,item_id,event\na,x,\nb,y,view\n"
    frame, _, _ = read(rows, mapping=parse_mapping([], event="play"))
    assert frame["event"].to_list() == ["play", "view"]
    frame, _, _ = read(b"user_id,item_id\na,x\n", mapping=parse_mapping([], event="play"))
    assert frame["event"].to_list() == ["play"]
    for kind in ("", "x" * 101):
        with pytest.raises(TableError, match="expected 1 to 100 characters"):
            parse_mapping([], event=kind)


class TestDistinct:
    def counted(self, spec: TableSpec, *batches: dict[str, list[object]]) -> tuple[int, str | None]:
        with Distinct(spec) as distinct:
            for batch in batches:
                distinct.add(as_table(spec, pl.DataFrame(batch)))
            return distinct.result()

    def test_two_lists_that_number_alike(self) -> None:
        aisles = {"category_id": ["1", "2", "3"], "name": ["soup", None, "deli"]}
        departments = {"category_id": ["1", "2", "4"], "name": ["frozen", "bakery", "deli"]}
        count, said = self.counted(CATEGORIES, aisles, departments)
        assert count == 4
        assert said is not None
        assert "disagree about 1 of 4" in said
        assert "the name of '1': 'soup' and 'frozen'" in said

    def test_a_category_of_several_parents_is_no_disagreement(self) -> None:
        rows = {"category_id": ["a", "a"], "name": ["A", "A"], "parent_id": ["b", "c"]}
        assert self.counted(CATEGORIES, rows) == (1, None)

    def test_links(self) -> None:
        rows = {"item_id": ["a", "a", "b"], "category_id": ["c", "c", "c"]}
        assert self.counted(ITEM_CATEGORIES, rows) == (2, None)
        count, said = self.counted(ITEM_CATEGORIES, rows | {"weight": [1, 2, 3]})
        assert count == 2
        assert said is not None
        assert "the weight of 'a' and 'c': '1.0' and '2.0'" in said
        kinds = {"item_id": ["a", "a"], "related_id": ["b", "b"], "kind": ["x", "y"]}
        assert self.counted(RELATED_ITEMS, kinds) == (2, None)

    def test_what_does_not_fit_is_the_same(self, monkeypatch: pytest.MonkeyPatch) -> None:
        rows = [{"item_id": [f"i{n % 7}"], "title": [f"t{n % 2}"]} for n in range(40)]
        expected = self.counted(ITEMS, *rows)
        monkeypatch.setattr("loaders.tables._distinct._HELD_ROWS", 3)
        count, said = self.counted(ITEMS, *rows)
        assert (count, expected[0]) == (7, 7)
        assert said is not None
        assert "disagree about 7 of 7" in said


def test_rejected_rows_are_counted_by_reason(tmp_path: Path) -> None:
    (tmp_path / "interactions.csv").write_text(
        "user_id,item_id,value\na,x,one\nb,x,two\n,x,1\nNULL,x,1\nnan,x,1\nNone,x,1\n1\n1,2\n"
    )
    with Rejects(tmp_path / "rejects.csv") as log:
        assert list(open_tables(str(tmp_path)).batches(INTERACTIONS, log.add))
    assert [(each.rows, each.column, each.first.partition(": ")[2]) for each in log.reasons()] == [
        (3, "user_id", "'NULL' stands for no id: leave the row out, or say --keep-null-ids"),
        (2, "value", "'one' is not a finite number"),
        (2, "", "1 cells: expected 3, as in the header"),
        (1, "user_id", "is missing"),
    ]
    assert sum(each.rows for each in log.reasons()) == log.total
