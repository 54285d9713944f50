"""The rows of tests/hostile_corpus.json, in each format: each lands exactly or says why not."""

import json
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from loaders.tables import INTERACTIONS, FolderTables, Rejected

ROWS = json.loads((Path(__file__).parents[2] / "hostile_corpus.json").read_text())["rows"]
COLUMNS = ("user_id", "item_id", "event", "value", "timestamp", "note")
Writer = Callable[[Path], list[int]]


def cell_of(given: Any) -> bytes:
    """A cell's bytes."""
    if isinstance(given, str):
        return given.encode()
    if "hex" in given:
        return bytes.fromhex(given["hex"])
    return (given["text"] * given["times"]).encode()


CELLS = [{name: cell_of(given) for name, given in row["cells"].items()} for row in ROWS]


def delimited(delimiter: bytes, line_end: bytes) -> Writer:
    special = (b'"', b"\n", b"\r", delimiter)

    def quoted(cell: bytes) -> bytes:
        if any(each in cell for each in special):
            return b'"' + cell.replace(b'"', b'""') + b'"'
        return cell

    def write(path: Path) -> list[int]:
        lines, text, line = [], delimiter.join(name.encode() for name in COLUMNS) + line_end, 2
        parts = [text]
        for row in CELLS:
            lines.append(line)
            part = delimiter.join(quoted(row.get(name, b"")) for name in COLUMNS)
            line += 1 + len(part.replace(b"\r\n", b"\n").replace(b"\r", b"\n").splitlines()[1:])
            parts.append(part + line_end)
        path.write_bytes(b"".join(parts))
        return lines

    return write


def json_lines(path: Path) -> list[int]:
    def text(cell: bytes) -> bytes:
        try:
            return json.dumps(cell.decode(), ensure_ascii=False).encode()
        except UnicodeDecodeError:
            return b'"' + cell + b'"'

    rows = [
        b"{" + b", ".join(f'"{name}": '.encode() + text(cell) for name, cell in row.items()) + b"}"
        for row in CELLS
    ]
    path.write_bytes(b"\n".join(rows))
    return list(range(1, len(rows) + 1))


def parquet(path: Path) -> list[int]:
    columns = {
        name: pa.array([row.get(name) for row in CELLS], pa.binary()).view(pa.string())
        for name in COLUMNS
    }
    pq.write_table(pa.table(columns), path)
    return list(range(1, len(CELLS) + 1))


FORMATS: dict[str, tuple[str, Writer]] = {
    "interactions.csv": ("csv", delimited(b",", b"\n")),
    "interactions.tsv": ("csv", delimited(b"\t", b"\r\n")),
    "interactions.jsonl": ("jsonl", json_lines),
    "interactions.parquet": ("parquet", parquet),
}


def why_rejected(row: dict[str, Any], form: str) -> tuple[str, str] | None:
    rejected = row.get("rejected", {})
    found = rejected.get("all") or rejected.get(form)
    return tuple(found) if found else None


def landed(row: dict[str, Any], cells: dict[str, bytes]) -> dict[str, Any]:
    expected: dict[str, Any] = dict.fromkeys(COLUMNS) | {"event": "interaction"}
    expected |= {name: cell.decode() for name, cell in cells.items()}
    expected |= row.get("lands", {})
    if expected["timestamp"] is not None:
        expected["timestamp"] = datetime.fromisoformat(expected["timestamp"])
    return expected


@pytest.mark.parametrize("name", FORMATS)
def test_each_row_lands_exactly_or_says_why_not(tmp_path: Path, name: str) -> None:
    form, write = FORMATS[name]
    lines = write(tmp_path / name)
    rejected: list[Rejected] = []
    frame = pl.concat(FolderTables(tmp_path).batches(INTERACTIONS, rejected.append))

    expected = [
        landed(row, cells)
        for row, cells in zip(ROWS, CELLS, strict=True)
        if not why_rejected(row, form)
    ]
    naive = frame.with_columns(pl.col("timestamp").dt.replace_time_zone(None))
    assert naive.select(COLUMNS).rows(named=True) == expected
    assert [(each.line, each.column, each.reason) for each in rejected] == [
        (line, *why)
        for line, row in zip(lines, ROWS, strict=True)
        if (why := why_rejected(row, form))
    ]


@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_a_latin_1_file_loses_only_the_rows_that_are_not_ascii(
    read_csv: Callable[[bytes], tuple[pl.DataFrame, list[Rejected]]], line_end: str
) -> None:
    text = line_end.join(["user_id,item_id", "plain,i", "caf\xe9,i", "also plain,i", ""])
    frame, rejected = read_csv(text.encode("latin-1"))
    assert frame["user_id"].to_list() == ["plain", "also plain"]
    assert [(r.line, r.column, r.reason) for r in rejected] == [
        (3, "user_id", "is not valid UTF-8: save the file as UTF-8")
    ]
