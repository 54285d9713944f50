"""Amazon's reviews: who rated which product when, what the products are and go with.

Published by McAuley's group at UCSD in three forms: 2014 (He, McAuley, WWW 2016), 2018 (Ni, Li,
McAuley, EMNLP 2019) and 2023 (Hou et al., 2024). Each category has a file of reviews and one of
metadata, `meta_CATEGORY`; all files in a folder are one data set. What people wrote and what they
are called is not taken over, only how long a review is.
"""

import html
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

import polars as pl

from loaders.datasets._download import DataSet, Publication
from loaders.datasets._files import SourceFiles
from loaders.datasets._json_lines import FieldError, Record, records
from loaders.datasets._stream import Read, StreamTables, distinct, gathered, ignore
from loaders.errors import TableError
from loaders.limits import MAX_ID_CHARACTERS
from loaders.tables import (
    CATEGORIES,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    RELATED_ITEMS,
    Reject,
    Tables,
    TableSpec,
)
from loaders.tables._check import checked_batch
from loaders.tables._raw import RawBatch
from loaders.tables._spec import BATCH_ROWS

EVENT = "rating"
"""Kind of the interactions; their value is the number of stars."""
_PATTERNS = ("*.json", "*.jsonl")
_HIDDEN = ("reviewText", "text", "summary", "title", "reviewerName", "description", "details")
_RELATED = {
    "also_buy": "also_buy",
    "also_bought": "also_buy",
    "also_view": "also_view",
    "also_viewed": "also_view",
    "bought_together": "bought_together",
    "buy_after_viewing": "buy_after_viewing",
}
"""Kind of the link by the name of the list, in which the forms differ."""
_STEP = " > "
_MAX_STEP_CHARACTERS = 100
_PRICE = re.compile(r"\$?\s*(\d{1,3}(?:,\d{3})+|\d+)(\.\d+)?")

Row = tuple[Any, ...]
T = TypeVar("T")


def amazon(folder: Path) -> Tables:
    """The data set as `loaders.tables.Tables`.

    Args:
        folder: the folder with files of reviews and of metadata, or with their archives.

    Raises:
        TableError: there is neither.
    """
    files = SourceFiles(folder)
    names = files.matching(*_PATTERNS)
    metadata = [name for name in names if name.startswith("meta_")]
    reviews = [name for name in names if name not in metadata]
    tables: dict[TableSpec, Read] = {}
    if reviews:
        tables[INTERACTIONS] = _table(files, reviews, INTERACTIONS, _REVIEW, _review)
    if metadata:
        tables[ITEMS] = _table(files, metadata, ITEMS, _ITEM, _item)
        tables[CATEGORIES] = _distinct_categories(files, metadata)
        tables[ITEM_CATEGORIES] = _table(
            files, metadata, ITEM_CATEGORIES, _ITEM_CATEGORY, _item_categories
        )
        tables[RELATED_ITEMS] = _table(files, metadata, RELATED_ITEMS, _RELATED_ITEM, _related)
    if not tables:
        raise TableError(
            f"{files.describe()}: expected reviews such as Gift_Cards_5.json, and metadata such "
            "as meta_Gift_Cards.json"
        )
    return StreamTables(tables)


_REVIEW: Mapping[str, Any] = {
    "user_id": pl.String,
    "item_id": pl.String,
    "event": pl.String,
    "value": pl.Float64,
    "timestamp": pl.Float64,
    "votes": pl.Int64,
    "verified": pl.Boolean,
    "review_length": pl.Int64,
}
_ITEM: Mapping[str, Any] = {
    "item_id": pl.String,
    "title": pl.String,
    "price": pl.Float64,
}
_CATEGORY: Mapping[str, Any] = {
    "category_id": pl.String,
    "name": pl.String,
    "kind": pl.String,
    "parent_id": pl.String,
}
_ITEM_CATEGORY: Mapping[str, Any] = {"item_id": pl.String, "category_id": pl.String}
_RELATED_ITEM: Mapping[str, Any] = {
    "item_id": pl.String,
    "related_id": pl.String,
    "kind": pl.String,
}


def _table(
    files: SourceFiles,
    names: Iterable[str],
    spec: TableSpec,
    schema: Mapping[str, Any],
    take: Callable[[Record], list[Row]],
) -> Read:
    """A table made of the rows that `take` makes of each record."""

    def batch(lines: list[int], rows: list[Row], name: str, reject: Reject) -> pl.DataFrame:
        frame = pl.DataFrame(rows, schema, orient="row")
        return checked_batch(RawBatch(frame, pl.Series(lines)), spec, name, reject)

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        for name in names:
            lines: list[int] = []
            rows: list[Row] = []
            for line, taken in _taken(files, name, take, reject, spec):
                rows += taken
                lines += [line] * len(taken)
                if len(rows) >= BATCH_ROWS:
                    yield batch(lines, rows, name, reject)
                    lines, rows = [], []
            if rows:
                yield batch(lines, rows, name, reject)

    return read


def _taken(
    files: SourceFiles,
    name: str,
    take: Callable[[Record], T],
    reject: Reject,
    spec: TableSpec,
) -> Iterator[tuple[int, T]]:
    """A line without a sound record is rejected where items or interactions are read."""
    note = reject if spec in (ITEMS, INTERACTIONS) else ignore
    with files.open(name) as stream:
        yield from records(stream, name, take, note, hidden=_HIDDEN)


def _distinct_categories(files: SourceFiles, names: Iterable[str]) -> Read:
    every = _table(files, names, CATEGORIES, _CATEGORY, _categories)
    return lambda reject: gathered(every(reject), distinct)


def _review(record: Record) -> list[Row]:
    text = record.get("reviewText", record.get("text"))
    return [
        (
            _id(record, "reviewerID", "user_id"),
            _item_id(record),
            EVENT,
            _number(record, "overall", "rating"),
            _seconds(record),
            _votes(record),
            _flag(record, "verified", "verified_purchase"),
            len(text) if isinstance(text, str) else 0,
        )
    ]


def _item(record: Record) -> list[Row]:
    return [(_item_id(record), _clean(record.get("title")), _price(record.get("price")))]


def _categories(record: Record) -> list[Row]:
    rows: list[Row] = []
    for steps in _paths(record):
        for depth in range(1, len(steps) + 1):
            parent = _category_id(steps[: depth - 1]) if depth > 1 else None
            rows.append((_category_id(steps[:depth]), steps[depth - 1], "category", parent))
    if brand := _brand(record):
        rows.append((f"brand:{brand}", brand, "brand", None))
    return rows


def _item_categories(record: Record) -> list[Row]:
    """An item is in the last category of each of its paths."""
    item = _item_id(record)
    ids = [_category_id(steps) for steps in _paths(record) if steps]
    if brand := _brand(record):
        ids.append(f"brand:{brand}")
    return [(item, category) for category in dict.fromkeys(ids)]


def _related(record: Record) -> list[Row]:
    item = _item_id(record)
    related = record.get("related")
    lists = {**record, **related} if isinstance(related, dict) else record
    return [
        (item, other, kind) for name, kind in _RELATED.items() for other in _texts(lists.get(name))
    ]


def _id(record: Record, *names: str) -> str:
    """The first of these fields that is there."""
    for name in names:
        if (value := record.get(name)) is not None:
            if isinstance(value, str):
                return value
            raise FieldError(name, f"{value!r} is not text")
    raise FieldError(names[0], "is missing")


def _item_id(record: Record) -> str:
    # In the form of 2023 an asin is that of a variant; the metadata is that of its parent.
    return _id(record, "parent_asin", "asin")


def _number(record: Record, *names: str) -> float:
    for name in names:
        if (value := record.get(name)) is not None:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return float(value)
            raise FieldError(name, f"{value!r} is not a number")
    raise FieldError(names[0], "is missing")


def _seconds(record: Record) -> float | None:
    if record.get("unixReviewTime") is not None:
        return _number(record, "unixReviewTime")
    if record.get("timestamp") is not None:
        return _number(record, "timestamp") / 1000
    return None


def _votes(record: Record) -> int:
    """How many found it helpful; the forms of 2018 and 2023 leave out a zero."""
    helpful = record.get("helpful")
    if isinstance(helpful, list) and len(helpful) == 2:
        helpful = helpful[0]
    for name, value in (
        ("helpful", helpful),
        ("vote", record.get("vote")),
        ("helpful_vote", record.get("helpful_vote")),
    ):
        if value is None:
            continue
        digits = str(value).replace(",", "")
        if not digits.isdecimal():
            raise FieldError(name, f"{value!r} is not a number of votes")
        return int(digits)
    return 0


def _flag(record: Record, *names: str) -> bool | None:
    for name in names:
        if (value := record.get(name)) is not None:
            if isinstance(value, bool):
                return value
            raise FieldError(name, f"{value!r} is not true or false")
    return None


def _price(value: object) -> float | None:
    """Dollars; none where there is a range, or the markup that stands in many price fields."""
    if isinstance(value, int | float):
        return float(value)
    match = _PRICE.fullmatch(value.strip()) if isinstance(value, str) else None
    return float(match[1].replace(",", "") + (match[2] or "")) if match else None


def _paths(record: Record) -> list[list[str]]:
    """Paths from the widest category to the narrowest."""
    value = record.get("category") or record.get("categories") or []
    if not isinstance(value, list):
        return []
    nested = value and isinstance(value[0], list)
    return [_steps(path) for path in (value if nested else [value])]


def _steps(path: object) -> list[str]:
    """The steps of a path up to where descriptions that slipped in begin."""
    steps: list[str] = []
    for text in _texts(path):
        step = _clean(text)
        if not step or len(step) > _MAX_STEP_CHARACTERS or "<" in step:
            break
        if len(_category_id([*steps, step])) > MAX_ID_CHARACTERS:
            break
        steps.append(step)
    return steps


def _category_id(steps: list[str]) -> str:
    return "category:" + _STEP.join(steps)


def _brand(record: Record) -> str | None:
    details = record.get("details")
    in_details = details.get("Brand") if isinstance(details, dict) else None
    brand = _clean(record.get("brand") or in_details or record.get("store"))
    brand = brand.removeprefix("by ") if brand else None
    return brand if brand and len(brand) <= _MAX_STEP_CHARACTERS and "<" not in brand else None


def _clean(value: object) -> str | None:
    """Text with its character references resolved and its white space made single."""
    return " ".join(html.unescape(value).split()) if isinstance(value, str) else None


def _texts(value: object) -> list[str]:
    return [text for text in value if isinstance(text, str)] if isinstance(value, list) else []


DATA_SETS = {
    "amazon": DataSet(
        amazon, Publication("https://cseweb.ucsd.edu/~jmcauley/datasets/amazon_v2/", {})
    )
}
"""The data sets of this file, by name."""
