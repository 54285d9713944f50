"""What nodes say of themselves, read from tables."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

import polars as pl

from loaders.limits import MAX_READ_CHARACTERS
from loaders.tables._spec import CATEGORIES, ITEMS, USERS, Reject, Tables, TableSpec
from loaders.types import NodeText

_OF_LABEL: Final[dict[str, TableSpec]] = {"Item": ITEMS, "User": USERS, "Category": CATEGORIES}
_LISTED = 100


def table_texts(
    source: Tables, label: str, properties: Sequence[str], reject: Reject
) -> Iterator[NodeText]:
    """The values of some columns, row after row: what `loaders.extract.extract_texts` gives.

    Args:
        source: the tables.
        label: of the nodes: `Item`, `User` or `Category`.
        properties: names of columns; one that is not there holds nothing.
        reject: takes note of each rejected row.

    Raises:
        TableError: the table cannot be read.
    """
    spec = _OF_LABEL[label]
    if spec not in source.specs or spec.describes is None:
        return
    for batch in source.batches(spec, reject):
        columns = [
            batch[name].to_list() if name in batch.columns else [None] * batch.height
            for name in properties
        ]
        for node, *values in zip(batch[spec.describes].to_list(), *columns, strict=True):
            if node is not None:
                yield NodeText(node, [_as_text(value) for value in values])


def _as_text(value: Any) -> list[str]:
    """A value as text, several of a list; nothing of what is empty."""
    several = value.to_list() if isinstance(value, pl.Series) else value
    listed = several if isinstance(several, list | tuple) else [several]
    entries = [entry for entry in listed[:_LISTED] if entry is not None]
    return [str(entry)[:MAX_READ_CHARACTERS] for entry in entries]
