"""One total per (user, item, event): how the rows of one load add up.

    count    = number of rows
    weight   = Σ value, a missing one counting 1, to six decimals
    value    = that of the newest row
    first_at = earliest time
    last_at  = latest time

A further column has the newest row's cell, like `value`. Of rows with the same time the one with
the larger value is the newest, and of equal values the one whose further cells come last as text;
a missing time or value is lowest.

Six decimals make the sum the same in whatever order the rows come (exact up to 9·10⁹), which is
what lets a second load of the same rows change nothing.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from loaders._closing import Closing
from loaders.limits import MAX_AMOUNT
from loaders.tables._raw import shown_row
from loaders.tables._reasons import Reason
from loaders.tables._spec import DEFAULT_EVENT, INTERACTIONS, Reject, Rejected
from loaders.tables._spill import Spill

DECIMALS = 6
_KEY = ("user_id", "item_id", "event")
_HELD_ROWS = 1_000_000
"""Rows that are held in memory before they are added up, and written down if they stay many."""
_FRAME_ROWS = 1_000_000
_NO_TIME = np.iinfo(np.int64).max
_SCHEMA = pl.Schema(
    {
        "user_id": pl.String(),
        "item_id": pl.String(),
        "event": pl.String(),
        "count": pl.Int64(),
        "weight": pl.Float64(),
        "value": pl.Float64(),
        "first_at": pl.Datetime("us", "UTC"),
        "last_at": pl.Datetime("us", "UTC"),
    }
)


class InteractionTotals(Closing):
    """Adds up batches of the `interactions` table, in bounded memory.

    Totals that do not fit lie in a temporary folder until the context is left.

    Args:
        folder: where the temporary folder is made; where the system has its own by default.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._spill = Spill("user_id", folder)
        self._held: list[pl.DataFrame] = [_SCHEMA.to_frame()]
        self._held_rows = 0

    @property
    def rows(self) -> int:
        """At most so many totals there are."""
        return self._spill.rows + self._held_rows

    def add(self, batch: pl.DataFrame) -> None:
        """Add rows of the `interactions` table; their `event_id` is not looked at.

        Raises:
            TableError: what does not fit in memory cannot be written down.
        """
        self._hold(*self._held, _as_totals(batch))
        if self._held_rows > _HELD_ROWS:
            self._hold(_combined(self._held))
            # Few totals can grow further in memory; many would be added up again and again.
            if self._held_rows > _HELD_ROWS // 2:
                self._write_down()

    def frames(self) -> Iterator[pl.DataFrame]:
        """The totals, some at a time, sorted by user, item and event.

        All of a user's are in one frame, which has about a million rows at most, or those of one
        user. The frames themselves are in no order.

        Raises:
            TableError: what did not fit in memory cannot be written down or read back.
        """
        self._hold(_combined(self._held))
        if not self._spill.rows:
            yield from _by_users(self._held[0].sort(_KEY))
            return
        self._write_down()
        for part in self._spill.partitions():
            yield from _by_users(_combined([part]).sort(_KEY))

    def frame(self) -> pl.DataFrame:
        """All totals at once, sorted by user, item and event.

        Raises:
            TableError: as `frames`.
        """
        whole = pl.concat([_SCHEMA.to_frame(), *self.frames()], how="diagonal_relaxed")
        return whole.sort(_KEY) if self._spill.rows else whole

    def close(self) -> None:
        """Remove what was written down."""
        self._spill.close()

    def _hold(self, *frames: pl.DataFrame) -> None:
        self._held = list(frames)
        self._held_rows = sum(frame.height for frame in frames)

    def _write_down(self) -> None:
        held = pl.concat(self._held)
        self._hold(held.clear())
        self._spill.add(held)


def within_limits(totals: pl.DataFrame, reject: Reject) -> pl.DataFrame:
    """The totals whose sums are within the limit; the others go to `reject`."""
    sums = [name for name in ("weight", "ledger_weight") if name in totals.columns]
    beyond = totals.select(pl.any_horizontal(pl.col(sums).abs() > MAX_AMOUNT)).to_series()
    beyond = beyond.fill_null(value=False)
    if not beyond.any():
        return totals
    for total in totals.filter(beyond).iter_rows(named=True):
        reject_sum(total, reject)
    return totals.filter(~beyond)


def reject_sum(total: Mapping[str, Any], reject: Reject) -> None:
    """Reject the rows of one user, item and event, whose sum of values is beyond the limit.

    Args:
        total: user_id, item_id, event, count, and weight where it is known.
        reject: takes note of it.
    """
    row = shown_row(total[name] for name in (*_KEY, "count", "weight"))
    reason = Reason.SUM_BEYOND.format(*(total[name] for name in ("count", *_KEY)))
    table, rows = INTERACTIONS.name, total["count"]
    reject(Rejected(table, line=0, column="value", reason=reason, row=row, table=table, rows=rows))


def _as_totals(batch: pl.DataFrame) -> pl.DataFrame:
    return batch.select(
        "user_id",
        "item_id",
        pl.col("event").fill_null(DEFAULT_EVENT),
        pl.lit(1, pl.Int64).alias("count"),
        pl.col("value").fill_null(1.0).round(DECIMALS).alias("weight"),
        "value",
        pl.col("timestamp").alias("first_at"),
        pl.col("timestamp").alias("last_at"),
        pl.exclude(INTERACTIONS.names),
    )


def _combined(parts: list[pl.DataFrame]) -> pl.DataFrame:
    """One row for each user, item and event, in no order."""
    rows = pl.concat(parts, how="diagonal_relaxed")
    if rows.is_empty():
        return rows
    ordered, starts = _grouped(rows)
    last = np.append(starts[1:], rows.height) - 1
    first_at = ordered["first_at"].to_physical().fill_null(_NO_TIME).to_numpy()
    earliest = pl.Series(np.minimum.reduceat(first_at, starts)).replace(_NO_TIME, None)
    return ordered[last].with_columns(
        count=np.add.reduceat(ordered["count"].to_numpy(), starts),
        weight=pl.Series(np.add.reduceat(ordered["weight"].to_numpy(), starts)).round(DECIMALS),
        first_at=earliest.cast(_SCHEMA["first_at"]),
    )


def _grouped(rows: pl.DataFrame) -> tuple[pl.DataFrame, np.ndarray]:
    """The rows, each group's together and the newest of it last, and where each group begins."""
    further = [name for name in rows.columns if name not in _SCHEMA]
    newest = [pl.col("last_at"), pl.col("value")]
    if further:
        newest.append(pl.struct(further).struct.json_encode())
    # A hash sorts five times as fast as three texts.
    digest = rows.select(_digest()).to_series()
    order = rows.select(pl.arg_sort_by(digest, *newest)).to_series()
    ordered, digest = rows[order], digest[order]
    changes = _changes(ordered)
    if (changes & (digest == digest.shift())).any():
        # Two groups with one hash.
        ordered = rows[rows.select(pl.arg_sort_by(*_KEY, *newest)).to_series()]
        changes = _changes(ordered)
    return ordered, changes.arg_true().to_numpy()


def _digest() -> pl.Expr:
    return pl.struct(_KEY).hash()


def _changes(ordered: pl.DataFrame) -> pl.Series:
    """Whether each row is of another group than the one before it."""
    other = [pl.col(name).ne_missing(pl.col(name).shift()) for name in _KEY]
    return ordered.select(pl.any_horizontal(other)).to_series()


def _by_users(totals: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """Sorted totals in frames of bounded size, which end where a user's do."""
    users = totals["user_id"]
    ends = np.append((users != users.shift(-1)).arg_true().to_numpy() + 1, totals.height)
    start = 0
    while start < totals.height:
        end = ends[max(np.searchsorted(ends, start + _FRAME_ROWS, side="right") - 1, 0)]
        if end <= start:
            end = ends[np.searchsorted(ends, start, side="right")]
        yield totals[start : int(end)]
        start = int(end)
