"""CSV, JSON Lines and Parquet, also compressed, are read alike; fast and exact reading agree."""

import bz2
import gzip
import io
import json
import lzma
import math
import zipfile
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from loaders.errors import TableError
from loaders.limits import MAX_COLUMNS
from loaders.tables import (
    INTERACTIONS,
    ITEMS,
    SAME_NAMES,
    FolderTables,
    Rejected,
    TableMapping,
    TableSpec,
    open_tables,
    parse_mapping,
)
from tests.unit.loaders.json_lines import json_lines

ReadTable = Callable[[Path, TableSpec], tuple[pl.DataFrame, list[Rejected]]]
CSV = b"user_id,item_id,value\nu,i,1\nv,,2\nw,j,x\n"
JSON = (
    b'{"user_id": "u", "item_id": "i", "value": 1}\n'
    b'{"user_id": "v", "value": 2}\n{"user_id": "w", "item_id": "j", "value": "x"}\n'
)


def zstd(data: bytes) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.CompressedOutputStream(sink, "zstd") as file:
        file.write(data)
    return sink.getvalue().to_pybytes()


def zipped(data: bytes, *others: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("orders/", b"")
        archive.writestr("orders/interactions.csv", data)
        archive.writestr("__MACOSX/orders/._interactions.csv", b"\0")
        for name in others:
            archive.writestr(name, data)
    return file.getvalue()


class TestText:
    @pytest.mark.parametrize(
        ("suffix", "compress"),
        [
            ("", bytes),
            (".gz", gzip.compress),
            (".bz2", bz2.compress),
            (".xz", lzma.compress),
            (".zst", zstd),
        ],
    )
    @pytest.mark.parametrize(
        ("form", "data", "first"),
        [("csv", CSV, 2), ("tsv", CSV, 2), ("jsonl", JSON, 1), ("ndjson", JSON, 1)],
    )
    def test_compressed_or_not(
        self,
        read_bytes: Callable[..., Any],
        suffix: str,
        compress: Callable[[bytes], bytes],
        form: str,
        data: bytes,
        first: int,
    ) -> None:
        # Two members after one another are one file, as `cat` makes them.
        half = data.index(b"v")
        packed = compress(data[:half]) + compress(data[half:])
        frame, rejected = read_bytes(f"interactions.{form}{suffix}", packed)
        assert frame.select("user_id", "item_id", "value").rows() == [("u", "i", 1.0)]
        assert rejected == [
            (first + 1, "item_id", "is missing"),
            (first + 2, "value", "'x' is not a finite number"),
        ]

    @pytest.mark.parametrize(
        ("suffix", "pack"), [("CSV", bytes), ("Csv.GZ", gzip.compress), ("ZIP", zipped)]
    )
    def test_suffixes_may_be_capitals(
        self, read_bytes: Callable[..., Any], suffix: str, pack: Callable[[bytes], bytes]
    ) -> None:
        frame, _ = read_bytes(f"interactions.{suffix}", pack(CSV))
        assert frame.select("user_id", "item_id", "value").rows() == [("u", "i", 1.0)]

    def test_json_that_is_no_lines_comes_with_the_form_that_is_read(
        self, read_bytes: Callable[..., Any]
    ) -> None:
        with pytest.raises(TableError, match=r"interactions\.jsonl with one JSON object in each"):
            read_bytes("interactions.json", JSON)

    @pytest.mark.parametrize("name", ["interactions.csv.zip", "interactions.zip"])
    def test_a_zip_of_one_file(self, read_bytes: Callable[..., Any], name: str) -> None:
        frame, rejected = read_bytes(name, zipped(CSV))
        assert frame.select("user_id", "item_id", "value").rows() == [("u", "i", 1.0)]
        assert [row for row, _, _ in rejected] == [3, 4]

    def test_a_zip_of_several_files_is_refused(self, read_bytes: Callable[..., Any]) -> None:
        with pytest.raises(
            TableError, match=r"interactions\.csv\.zip cannot be read: it holds 2 f"
        ):
            read_bytes("interactions.csv.zip", zipped(CSV, "more.csv"))

    def test_a_zip_of_something_else_is_no_table(self, read_bytes: Callable[..., Any]) -> None:
        with pytest.raises(TableError, match=r"expected interactions\.csv"):
            read_bytes("interactions.zip", zipped(CSV, "more.csv"))

    @pytest.mark.parametrize("suffix", [".gz", ".bz2", ".xz", ".zst", ".zip"])
    @pytest.mark.parametrize("cut", [None, -9])
    def test_a_damaged_archive_is_named(
        self, read_bytes: Callable[..., Any], suffix: str, cut: int | None
    ) -> None:
        pack = {".gz": gzip.compress, ".bz2": bz2.compress, ".xz": lzma.compress, ".zst": zstd}
        pack[".zip"] = zipped
        data = CSV if cut is None else pack[suffix](CSV * 1000)[:cut]
        with pytest.raises(TableError, match=rf"interactions\.csv\{suffix} cannot be read"):
            read_bytes(f"interactions.csv{suffix}", data)

    @pytest.mark.parametrize("suffix", ["", ".gz", ".zst", ".zip"])
    @pytest.mark.parametrize("rows", [0, 3, 300_000])
    def test_row_count_is_about_right(self, tmp_path: Path, suffix: str, rows: int) -> None:
        pack = {"": bytes, ".gz": gzip.compress, ".zst": zstd, ".zip": zipped}[suffix]
        lines = b"".join(b"user-%d,item-%d\n" % (n, n % 7919) for n in range(rows))
        (tmp_path / f"interactions.csv{suffix}").write_bytes(pack(b"user_id,item_id\n" + lines))
        found = FolderTables(tmp_path).row_count(INTERACTIONS)
        assert found == pytest.approx(rows, rel=0.4 if suffix else 0.1)

    def test_a_file_larger_than_what_is_held(
        self, read_bytes: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("loaders.tables._text.BLOCK_BYTES", 64)
        rows = [{"user_id": f"u{n}", "item_id": "é" * (n % 50 + 1)} for n in range(500)]
        frame, rejected = read_bytes("interactions.jsonl", json_lines(*rows))
        assert rejected == []
        assert frame.select("user_id", "item_id").rows(named=True) == rows


class TestDelimiters:
    @pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
    @pytest.mark.parametrize("name", ["interactions.csv", "interactions.tsv"])
    def test_each_is_found(self, read_bytes: Callable[..., Any], delimiter: str, name: str) -> None:
        header = delimiter.join(['"user_id"', "item_id", "value"])
        text = f'{header}\nu{delimiter}"a{delimiter}b"{delimiter}1\nu;,|\n'
        frame, rejected = read_bytes(name, text.encode())
        assert len(rejected) == 1
        assert frame["item_id"].to_list() == [f"a{delimiter}b"]

    def test_the_one_that_gives_the_required_columns(self, read_bytes: Callable[..., Any]) -> None:
        frame, _ = read_bytes("interactions.csv", b"user_id;item_id;price,usd\nu,1;i;2\n")
        assert frame.columns[-1] == "price,usd"
        assert frame["user_id"].to_list() == ["u,1"]

    def test_an_ambiguous_header_is_an_error(self, read_bytes: Callable[..., Any]) -> None:
        with pytest.raises(TableError, match="could be split at ',' or at ';'"):
            read_bytes("interactions.csv", b"user,item;price\nu,i;2\n")

    def test_a_single_column(self, read_bytes: Callable[..., Any]) -> None:
        frame, rejected = read_bytes("items.csv", b"item_id\na;b\n\nc,d\ne\n", ITEMS)
        assert frame["item_id"].to_list() == ["a;b", "e"]
        assert rejected == [(4, "", "2 cells: expected 1, as in the header")]


CELLS = st.one_of(
    st.text("ab1é \t|;'\u2028\x0b", max_size=4),
    st.sampled_from(
        ["", '"', '"a"', '"a,b"', '"two\nlines"', '"a""b"', 'a"b', "\0", "1.5", "x" * 600]
    ),
)
LINES = st.lists(CELLS, min_size=1, max_size=4).map(",".join)
ENDS = st.sampled_from(["\n", "\n", "\n", "\r\n", "\r", "\n\n", "\r\r\n"])
BYTES = st.sampled_from([b"", b"", b"", b"\xff", b"\xe9,", b'"'])
CLEAN = st.integers(1, 40).map(lambda rows: "u,i,1\n" * rows)


@st.composite
def csv_text(draw: st.DrawFn) -> bytes:
    """CSV that is mostly fine, in stretches that differ."""
    header = draw(st.sampled_from(["user_id,item_id,value", "user_id,item_id", "item_id"]))
    parts = [header.encode(), draw(st.sampled_from([b"\n", b"\r\n"]))]
    for _ in range(draw(st.integers(0, 8))):
        if draw(st.booleans()):
            parts.append(draw(CLEAN).encode())
        else:
            parts += [draw(LINES).encode(), draw(BYTES), draw(ENDS).encode()]
    return b"".join(parts)


class TestFastAndExact:
    @given(data=csv_text(), block=st.integers(1, 200))
    @example(data=b"user_id,item_id,value\n\nu,i,1\nu,i,x\n", block=200)
    @example(data=b"user_id,item_id,value\nu,i\nu,i,1,2\nu,i,x\n", block=200)
    @example(data=b"user_id,item_id,value\r\nu,i,\r\nu,i,x\r\n", block=200)
    @example(data=b"item_id\n\na\n\r\nb\n", block=200)
    @example(data=b"item_id\n\n,\n", block=200)
    def test_the_same_rows_and_the_same_reasons(
        self, tmp_path_factory: pytest.TempPathFactory, data: bytes, block: int
    ) -> None:
        spec = ITEMS if data.startswith(b"item_id") else INTERACTIONS
        path = tmp_path_factory.getbasetemp() / f"{spec.name}.csv"
        path.write_bytes(data)

        def read() -> tuple[pl.DataFrame, list[Rejected]]:
            rejected: list[Rejected] = []
            tables = open_tables(str(path))
            frame = pl.concat(
                [pl.DataFrame(), *tables.batches(spec, rejected.append)], how="diagonal"
            )
            return frame, rejected

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("loaders.tables._text.BLOCK_BYTES", block)
            fast = read()
            patch.setattr("loaders.tables._csv._parsed_at_once", lambda *_: None)
            exact = read()
            patch.undo()
            whole = read()
        assert fast[1] == exact[1] == whole[1]
        assert fast[0].rows() == exact[0].rows() == whole[0].rows()

    def test_clean_blocks_are_parsed_at_once(
        self, read_bytes: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("loaders.tables._csv.rows_one_by_one", None)
        rows = "".join(f"é{n},i,\r\n" for n in range(1000)).encode()
        frame, rejected = read_bytes("interactions.csv", b"user_id,item_id,value\r\n" + rows)
        assert (frame.height, rejected) == (1000, [])


class TestSpacesAroundNames:
    @pytest.mark.parametrize(
        ("name", "data"),
        [
            ("items.csv", b"item_id , title,available, unit price \ni,T,no,2\n,x,,\n"),
            ("items.tsv", "item_id \t title\tavailable\t\u00a0unit price\ni\tT\tno\t2\n\tx\t\t\n"
                          .encode()),
            ("items.jsonl", json_lines(
                {"item_id ": "i", " title": "T", "available": False, " unit price": 2},
                {" title": "x"})),
        ],
    )  # fmt: skip
    def test_text(self, read_bytes: Callable[..., Any], name: str, data: bytes) -> None:
        self.check(*read_bytes(name, data, ITEMS))

    def test_parquet(self, tmp_path: Path, read_bytes: Callable[..., Any]) -> None:
        table = pl.DataFrame(
            {"item_id ": ["i", None], " title": ["T", "x"], "available": [False, None],
             "unit price\n": ["2", None]}
        )  # fmt: skip
        table.write_parquet(tmp_path / "made")
        self.check(*read_bytes("items.parquet", (tmp_path / "made").read_bytes(), ITEMS))

    def check(self, frame: pl.DataFrame, rejected: list[tuple[int, str, str]]) -> None:
        (row,) = frame.drop("created_at").rows(named=True)
        assert {name: str(cell) for name, cell in row.items()} == {
            "item_id": "i", "title": "T", "available": "False", "unit price": "2"
        }  # fmt: skip
        assert [(column, reason) for _, column, reason in rejected] == [("item_id", "is missing")]

    def test_they_can_be_mapped_and_dropped(self, tmp_path: Path) -> None:
        (tmp_path / "interactions.csv").write_text(" who ,item_id, n\nu,i,1\n")
        mapping = parse_mapping(["interactions.user_id=who"], drop=["interactions.n"])
        (frame,) = FolderTables(tmp_path, mapping).batches(INTERACTIONS, pytest.fail)
        assert frame.drop_nulls("user_id").columns == list(INTERACTIONS.names)

    def test_two_names_that_differ_in_them_alone(self, read_bytes: Callable[..., Any]) -> None:
        with pytest.raises(TableError, match="several columns 'item_id'"):
            read_bytes("items.csv", b"item_id,item_id \ni,j\n", ITEMS)

    def test_a_column_without_a_name_is_left_out_and_said(self, tmp_path: Path) -> None:
        (tmp_path / "interactions.csv").write_text(",user_id,item_id, ,\n0,u,i,,\n")
        tables = FolderTables(tmp_path)
        (frame,) = tables.batches(INTERACTIONS, pytest.fail)
        assert (frame.columns, frame["user_id"].to_list()) == ([*INTERACTIONS.names], ["u"])
        said = "interactions.csv: a column without a name is not used"
        assert tables.warnings == (said,) * 3


class TestRejectedRowsComeAsTheyCame:
    QUOTED = 'a;b;{};"two\nlines; ""é""";extra'

    @pytest.mark.parametrize("quote", [False, True])
    def test_csv_with_its_delimiter_and_columns_nobody_reads(
        self, tmp_path: Path, quote: bool
    ) -> None:
        row = self.QUOTED if quote else "a;b;{};é;extra"
        header = "user_id;item_id;value;note;unused\n"
        (tmp_path / "interactions.csv").write_text(f"{header}u;i;1;;\n{row.format('x')}\n")
        mapping = parse_mapping([], drop=["interactions.unused"])
        rejected = self.rejected(tmp_path, mapping)
        assert [each.row for each in rejected] == [row.format("x")]
        mended = rejected[0].row.replace(";x;", ";2;")
        (tmp_path / "interactions.csv").write_text(f"{header}{mended}\n")
        assert self.rejected(tmp_path, mapping) == []

    def test_a_row_of_the_wrong_length_keeps_its_delimiter(self, tmp_path: Path) -> None:
        (tmp_path / "interactions.csv").write_text('user_id;item_id\n"a;b";c;d\n"e\0";f\n')
        assert [each.row for each in self.rejected(tmp_path)] == ['"a;b";c;d', '"e\ufffd";f']

    def test_json(self, tmp_path: Path) -> None:
        lines = [
            '{"unused": [1, {"x": 2}], "user_id": 7, "value": "x",  "item_id": "\\u00e9"}',
            '{"user_id": "b", "item_id": 5.0, "timestamp": "soon", "more": null}',
            '{"user_id": "c", "item_id": [1]}',
            "{",
        ]
        (tmp_path / "interactions.jsonl").write_text("\n".join(lines))
        mapping = parse_mapping([], drop=["interactions.unused"])
        rejected = self.rejected(tmp_path, mapping)
        assert [each.row for each in rejected] == lines
        mended = [lines[0].replace('"x",  ', "1, "), lines[1].replace("soon", "2020-01-02")]
        (tmp_path / "interactions.jsonl").write_text("\n".join(mended))
        assert self.rejected(tmp_path, mapping) == []

    def test_parquet_as_lines_of_json(self, tmp_path: Path) -> None:
        table = pl.DataFrame(
            {
                "who": ["a;b", 'c"d', "e", "f"],
                "item_id": [1, 2, None, 4],
                "value": [1.5, math.nan, 2.5, math.inf],
                "timestamp": [datetime(2020, 1, 2, 3, 4, 5, 6)] * 4,
                "sold": [date(2020, 1, 2)] * 4,
                "tags": [["x"], ["y", "z"], [], None],
                "gift": [True, False, True, None],
            }
        )
        table.write_parquet(tmp_path / "interactions.parquet")
        mapping = parse_mapping(["interactions.user_id=who"])
        rejected = self.rejected(tmp_path, mapping)
        assert [(each.line, each.column) for each in rejected] == [
            (2, "value"), (3, "item_id"), (4, "value")
        ]  # fmt: skip
        (tmp_path / "interactions.parquet").unlink()
        for cell in ('"value":"NaN"', '"value":"inf"', '"item_id":null'):
            assert sum(cell in each.row for each in rejected) == 1
        mended = "\n".join(each.row for each in rejected)
        for wrong, right in (('"NaN"', "3"), ('"inf"', "4"), ('"item_id":null', '"item_id":3')):
            mended = mended.replace(wrong, right)
        (tmp_path / "interactions.jsonl").write_text(mended)
        assert self.rejected(tmp_path, mapping) == []
        tables = FolderTables(tmp_path, mapping)
        again = pl.concat(tables.batches(INTERACTIONS, rejected.append))
        assert again["user_id"].to_list() == ['c"d', "e", "f"]
        assert again["timestamp"].to_list() == [datetime(2020, 1, 2, 3, 4, 5, 6, UTC)] * 3
        assert again["tags"].to_list() == [["y", "z"], [], None]

    def test_a_time_that_no_calendar_has(self, tmp_path: Path) -> None:
        late = pl.Series([253_402_300_800_000], dtype=pl.Datetime("ms"))
        table = pl.DataFrame({"user_id": "u", "item_id": "i", "sold": late})
        table.write_parquet(tmp_path / "interactions.parquet")
        (rejected,) = self.rejected(tmp_path)
        assert json.loads(rejected.row)["sold"] == 253_402_300_800_000

    def rejected(self, folder: Path, mapping: TableMapping = SAME_NAMES) -> list[Rejected]:
        rejected: list[Rejected] = []
        list(FolderTables(folder, mapping).batches(INTERACTIONS, rejected.append))
        return rejected


def test_a_table_has_so_many_columns_at_most(read_bytes: Callable[..., Any]) -> None:
    known = ["user_id", "item_id"]
    many = [f"c{number}" for number in range(MAX_COLUMNS - 1)]
    with pytest.raises(TableError, match="10,001 columns"):
        read_bytes("interactions.csv", ",".join([*known, *many]).encode() + b"\n")
    lines = json_lines(*({"user_id": "u", "item_id": "i", name: 1} for name in many))
    with pytest.raises(TableError, match="more than 10,000 columns"):
        read_bytes("interactions.jsonl", lines)


def test_ids_that_look_alike_are_told_apart(tmp_path: Path, read_table: ReadTable) -> None:
    """Text is taken as it is written, in every form; a number is its digits, whole or refused."""
    texts = ["1", "1.0", "01", "1e3", "1E3", "+1", " 1"]
    frame = pl.DataFrame({"user_id": texts, "item_id": texts})
    numbers = '{"user_id": 1, "item_id": 1.0}\n{"user_id": 1e3, "item_id": "1e3"}\n'
    forms: dict[str, Callable[[Path], object]] = {
        "csv": frame.write_csv,
        "jsonl": frame.write_ndjson,
        "parquet": frame.write_parquet,
    }
    for suffix, write in forms.items():
        folder = tmp_path / suffix
        folder.mkdir()
        write(folder / f"interactions.{suffix}")
        read, rejected = read_table(folder, INTERACTIONS)
        assert (read["user_id"].to_list(), rejected) == (texts, [])
    (tmp_path / "interactions.jsonl").write_text(numbers + '{"user_id": 1.5, "item_id": 1}\n')
    read, (half,) = read_table(tmp_path, INTERACTIONS)
    assert read.select("user_id", "item_id").rows() == [("1", "1"), ("1000", "1e3")]
    assert half.line == 3
