"""Cells that hold several categories, or the path to one."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from loaders.tables import (
    CATEGORIES,
    ITEM_CATEGORIES,
    CategoryCells,
    FolderTables,
    Rejected,
    TableSpec,
    parse_mapping,
)

HEADER = "item_id,category_code,price\n"
Read = Callable[..., tuple[list[tuple[object, ...]], list[Rejected]]]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Rows of a table of one wide file, by some columns, and those that were rejected."""

    def rows(spec: TableSpec, columns: str, text: str | pl.DataFrame, **cells: str) -> object:
        if isinstance(text, str):
            (tmp_path / "wide.csv").write_text(HEADER + text)
        else:
            text.write_parquet(tmp_path / "wide.parquet")
        maps = ["categories=wide", "item_categories=wide"]
        maps += [
            f"{table}.category_id=category_code" for table in ("categories", "item_categories")
        ]
        mapping = parse_mapping(maps, categories=CategoryCells(**cells))
        rejected: list[Rejected] = []
        batches = FolderTables(tmp_path, mapping, needed=()).batches(spec, rejected.append)
        return pl.concat(batches).select(columns.split()).rows(), rejected

    return rows


def test_a_path_makes_each_category_in_the_one_before(read: Read) -> None:
    text = "i,Home > Kitchen>Pans,2\nj, Home ,3\n"
    for table, columns, expected in (
        (CATEGORIES, "category_id name parent_id", [
            ("Home", "Home", None), ("Home > Kitchen", "Kitchen", "Home"),
            ("Home > Kitchen > Pans", "Pans", "Home > Kitchen"), ("Home", "Home", None),
        ]),
        (ITEM_CATEGORIES, "item_id category_id",
         [("i", "Home > Kitchen > Pans"), ("j", "Home")]),
    ):  # fmt: skip
        assert read(table, columns, text, path=" > ") == (expected, [])


def test_codes_with_points_keep_their_form(read: Read) -> None:
    found, _ = read(CATEGORIES, "category_id name parent_id", "i,a.b,1\n", path=".")
    assert found == [("a", "a", None), ("a.b", "b", "a")]


def test_a_list_is_a_row_for_each(read: Read) -> None:
    text = "i,rock| live,1\nj,rock,2\n"
    found, _ = read(ITEM_CATEGORIES, "item_id category_id", text, between="|")
    assert found == [("i", "rock"), ("i", "live"), ("j", "rock")]


def test_lists_of_paths(read: Read) -> None:
    found, _ = read(ITEM_CATEGORIES, "category_id", "i,a > b|c,1\n", between="|", path=" > ")
    assert found == [("a > b",), ("c",)]


def test_a_cell_without_a_category_makes_no_row(read: Read) -> None:
    for text in ("i,,1\n", "i, > ,1\n", "i,|,1\n"):
        for table in (CATEGORIES, ITEM_CATEGORIES):
            found = read(table, "category_id", text + "j,a,1\n", between="|", path=" > ")
            assert found == ([("a",)], [])


def test_a_bad_step_is_named_with_its_line_and_the_row_as_it_came(read: Read) -> None:
    found, (rejected,) = read(
        ITEM_CATEGORIES, "item_id category_id", f"i,a|{'x' * 513},7\n", between="|"
    )
    assert found == [("i", "a")]
    assert (rejected.line, rejected.column) == (2, "category_code")
    assert rejected.reason == "513 characters: expected 1 to 512"
    assert rejected.row.startswith("i,a|x")


def test_numbers_stay_as_they_are(read: Read) -> None:
    frame = pl.DataFrame({"item_id": ["i"], "category_code": [12]})
    found, _ = read(ITEM_CATEGORIES, "category_id", frame, path=".")
    assert found == [("12",)]
