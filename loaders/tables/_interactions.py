"""One table of interactions, whole: what is trained and evaluated on without a graph."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from loaders.errors import RejectedRowsError, TableError
from loaders.tables._files import known_format
from loaders.tables._mapping import SAME_NAMES
from loaders.tables._spec import DEFAULT_EVENT, INTERACTIONS, Rejected
from loaders.tables._table import Table

_LIGHTGCN_SUFFIXES = ("", ".txt")


def read_interactions(path: Path, properties: Sequence[str] = ()) -> pl.DataFrame:
    """One table of interactions, whole; an event whose `event_id` comes again counts once.

    Args:
        path: CSV, JSON Lines, Parquet, or LightGCN's text form (`user item item …` on each line).

        properties: further columns that are kept, where they are there.

    Returns:
        One row per interaction: user_id, item_id, event, value, timestamp, and those.

    Raises:
        TableError: the file cannot be read, or a required column is missing.
        RejectedRowsError: a row is bad; the message names the first.
    """
    if path.suffix in _LIGHTGCN_SUFFIXES:
        return _read_lightgcn(path)
    file = known_format(path).opened(path.name, SAME_NAMES.expected(INTERACTIONS))
    table = Table(replace(INTERACTIONS, properties=bool(properties)), [file])
    batches = [batch.select(_kept(batch, properties)) for batch in table.batches(_refuse)]
    frame = pl.concat([_no_interactions(), *batches], how="diagonal_relaxed")
    first = pl.col("event_id").is_null() | pl.col("event_id").is_first_distinct()
    return frame.filter(first).drop("event_id")


def _kept(batch: pl.DataFrame, properties: Sequence[str]) -> list[str]:
    return [*INTERACTIONS.names, *(name for name in properties if name in batch.columns)]


def _refuse(rejected: Rejected) -> None:
    raise RejectedRowsError(f"{rejected}: correct it, or leave it out")


def _no_interactions() -> pl.DataFrame:
    return pl.DataFrame(
        schema={
            "user_id": pl.String,
            "item_id": pl.String,
            "event": pl.String,
            "value": pl.Float64,
            "timestamp": pl.Datetime("us", "UTC"),
            "event_id": pl.String,
        }
    )


def _read_lightgcn(path: Path) -> pl.DataFrame:
    users: list[str] = []
    items: list[str] = []
    try:
        with path.open(encoding="utf-8") as file:
            for line in file:
                user, *liked = line.split() or [""]
                users += [user] * len(liked)
                items += liked
    except (OSError, UnicodeDecodeError) as error:
        raise TableError(f"{path} cannot be read: {error}") from error
    if not users:
        raise TableError(f"{path} holds no interaction: expected lines of the form `user item …`")
    pairs = pl.DataFrame({"user_id": users, "item_id": items})
    empty = _no_interactions().drop("event_id")
    return pl.concat([empty, pairs], how="diagonal").with_columns(event=pl.lit(DEFAULT_EVENT))
