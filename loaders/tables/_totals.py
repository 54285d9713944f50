"""One total per (user, item, event): how the rows of one load add up.

    count    = number of rows
    weight   = Σ value, a missing one counting 1, to six decimals
    value    = that of the newest row (ties: the larger; a missing time or value is lowest)
    first_at = earliest time
    last_at  = latest time

Six decimals make the sum the same in whatever order the rows come (exact up to 9·10⁹), which is
what lets a second load of the same rows change nothing.
"""

import polars as pl

from loaders.tables._spec import DEFAULT_EVENT

DECIMALS = 6
_KEY = ("user_id", "item_id", "event")
_COMPACT_ROWS = 1_000_000
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


class InteractionTotals:
    """Adds up batches of the `interactions` table. Holds one row per (user, item, event)."""

    def __init__(self) -> None:
        self._parts: list[pl.DataFrame] = []
        self._rows = 0

    def add(self, batch: pl.DataFrame) -> None:
        """Add rows of the `interactions` table; their `event_id` is not looked at."""
        part = _combined(_as_totals(batch))
        self._parts.append(part)
        self._rows += part.height
        if self._rows > _COMPACT_ROWS and len(self._parts) > 1:
            total = self.frame()
            # A growing total is only added up again when as much has come on top of it.
            self._parts, self._rows = [total], -total.height

    def frame(self) -> pl.DataFrame:
        """The totals, sorted by user, item and event."""
        return _combined(pl.concat([_SCHEMA.to_frame(), *self._parts])).sort(_KEY)


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
    )


def _combined(totals: pl.DataFrame) -> pl.DataFrame:
    newest = pl.col("last_at").eq_missing(pl.col("last_at").max())
    return (
        totals.group_by(_KEY)
        .agg(
            pl.col("count").sum(),
            pl.col("weight").sum().round(DECIMALS),
            pl.col("value").filter(newest).max(),
            pl.col("first_at").min(),
            pl.col("last_at").max(),
        )
        .select(_SCHEMA.names())
    )
