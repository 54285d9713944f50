"""JSON Lines: values, lists, text that is no JSON."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from loaders.errors import TableError
from loaders.tables import (
    ITEMS,
    Rejected,
    TableSpec,
)
from tests.unit.loaders.json_lines import json_lines

ReadTable = Callable[[Path, TableSpec], tuple[pl.DataFrame, list[Rejected]]]


def test_ids_are_read_cell_by_cell(read_bytes: Callable[..., Any]) -> None:
    ids = ["a", 7, 5.0, 7.5, True, None, 2**53 + 1, 2.0**60, 2**64 - 1, [1], {"a": 1}, ""]
    rows = [{"user_id": "u", "item_id": each} for each in ids]
    frame, rejected = read_bytes("interactions.jsonl", json_lines(*rows))
    assert frame["item_id"].to_list() == ["a", "7", "5", str(2**53 + 1), str(2**64 - 1)]
    assert rejected == [
        (4, "item_id", "'7.5' is not a whole number"),
        (5, "item_id", "'true' is a boolean: expected text or a whole number"),
        (6, "item_id", "is missing"),
        (
            8,
            "item_id",
            "'1.152921504606847e+18' is too large to be told exactly as a number: write it as text",
        ),
        (10, "item_id", "a list: expected one value"),
        (
            11,
            "item_id",
            "holds a JSON object or a list of lists: expected a value or a list of values, "
            "or --drop for the column",
        ),
        (12, "item_id", "is missing"),
    ]


def test_known_columns_take_numbers_text_and_booleans(read_bytes: Callable[..., Any]) -> None:
    rows = [
        {"item_id": 1, "title": 7, "available": True, "created_at": 86400},
        {"item_id": 2, "title": 2.5, "available": 0, "created_at": "1970-01-02"},
        {"item_id": 3, "title": "t", "available": "yes", "created_at": 86400.5},
    ]
    frame, rejected = read_bytes("items.jsonl", json_lines(*rows), ITEMS)
    assert rejected == []
    assert frame["title"].to_list() == ["7", "2.5", "t"]
    assert frame["available"].to_list() == [True, False, True]
    assert frame["created_at"].dt.epoch("ms").to_list() == [86_400_000, 86_400_000, 86_400_500]


@pytest.mark.parametrize(
    ("values", "dtype", "read"),
    [
        ([1, 2], pl.Int64, [1, 2]),
        ([1, 2.5], pl.Float64, [1.0, 2.5]),
        ([True, None], pl.Boolean, [True, None]),
        ([1, "x", True], pl.String, ["1", "x", "true"]),
        ([["a"], "b", "", []], pl.List(pl.String), [["a"], ["b"], None, []]),
        ([[1, 2.5], [2]], pl.List(pl.Float64), [[1.0, 2.5], [2.0]]),
    ],
)
@pytest.mark.parametrize("block", [1, 10_000])
def test_a_further_column_has_one_type_for_the_whole_file(
    read_bytes: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    values: list[Any],
    dtype: pl.DataType,
    read: list[Any],
    block: int,
) -> None:
    monkeypatch.setattr("loaders.tables._text.BLOCK_BYTES", block)
    rows = [{"item_id": str(n), "x": value} for n, value in enumerate(values)]
    frame, rejected = read_bytes("items.jsonl", json_lines(*rows), ITEMS)
    assert rejected == []
    assert frame.schema["x"] == dtype
    assert frame["x"].to_list() == read


def test_further_cells_that_no_property_can_be(read_bytes: Callable[..., Any]) -> None:
    rows = [
        {"item_id": "a", "tags": ["x", None], "n": 1},
        {"item_id": "b", "tags": [["x"]], "n": 1},
        {"item_id": "c", "tags": {"x": 1}, "n": 1},
        {"item_id": "d", "tags": ["x"], "n": 2**63},
        {"item_id": "e", "tags": ["x"], "n": 2},
    ]
    frame, rejected = read_bytes("items.jsonl", json_lines(*rows), ITEMS)
    nested = (
        "holds a JSON object or a list of lists: expected a value or a list of values, "
        "or --drop for the column"
    )
    assert frame["item_id"].to_list() == ["e"]
    assert rejected == [
        (1, "tags", "a list with a gap: expected a value in each place"),
        (2, "tags", nested),
        (3, "tags", nested),
        (4, "n", "'9223372036854775808' does not fit in 64 bits"),
    ]


def test_broken_lines_are_rejected_by_line(read_bytes: Callable[..., Any]) -> None:
    good = b'{"user_id": "u", "item_id": "i"}'
    lines = [
        b"\xef\xbb\xbf" + good,
        b"",
        b'{"user_id": "u"',
        b"[1]",
        good + b"\r",
        b"\xff",
        b"NaN",
    ]
    frame, rejected = read_bytes("interactions.jsonl", b"\n".join(lines))
    assert frame.height == 2
    assert [(line, reason.split(":")[0]) for line, _, reason in rejected] == [
        (3, "not JSON"),
        (4, "not a JSON object"),
        (6, "is not valid UTF-8"),
        (7, "not JSON"),
    ]


def test_a_file_without_objects(read_bytes: Callable[..., Any]) -> None:
    with pytest.raises(TableError, match="holds no JSON object"):
        read_bytes("interactions.jsonl", b"\n[1]\n")


@pytest.mark.parametrize(
    "row",
    [
        '{"item_id": "i", "x": 1, "item_id": "j"}',
        '{"item_id":"i","tags":["a: \\":"],"tags" :null}',
    ],
)
def test_a_name_that_comes_twice(read_bytes: Callable[..., Any], row: str) -> None:
    good = '{"item_id": "k", "x": "\\"item_id\\": \\"x\\": 2"}'
    frame, rejected = read_bytes("items.jsonl", f"{row}\n{good}\n".encode(), ITEMS)
    name = "item_id" if "item_id" in row[2:][10:] else "tags"
    assert rejected == [(1, "", f"names '{name}' twice: expected each name once")]
    assert frame["item_id"].to_list() == ["k"]


def test_nan_is_a_missing_cell(read_bytes: Callable[..., Any]) -> None:
    """As `json.dumps` writes a missing cell of pandas."""
    rows = [{"item_id": "i", "title": math.nan, "price": math.nan, "note": "NaN"},
            {"item_id": "j", "title": "T", "price": 2.5, "note": "n"},
            {"item_id": "k", "title": math.nan, "price": math.inf}]  # fmt: skip
    bad = b'{"item_id": "l", "title": "\\ud800", "price": NaN}\n'
    frame, rejected = read_bytes("items.jsonl", json_lines(*rows) + bad, ITEMS)
    assert [(line, reason[:9]) for line, _, reason in rejected] == [
        (3, "not JSON:"), (4, "not JSON:")
    ]  # fmt: skip
    assert frame.select("title", "price", "note").rows() == [
        (None, None, "NaN"), ("T", 2.5, "n")
    ]  # fmt: skip
