"""What each table holds: the one place that names tables, columns and the nodes they point at."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import polars as pl

BATCH_ROWS = 50_000
"""Rows of a batch, where a reader counts rows; text files are read in blocks of some MiB."""
DEFAULT_EVENT = "interaction"
"""Kind of an interaction that names none."""
DEFAULT_RELATION = "related"
"""Kind of a link between items that names none."""

Kind = Literal["id", "text", "kind", "number", "time", "flag"]
Label = Literal["User", "Item", "Category"]


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Attributes:
        name: its name in the file.
        kind: what its cells have to be.
        node: label of the node its ids stand for; None where it is no node's id.
        required: whether the column must be there.
        default: what a missing cell counts as.
    """

    name: str
    kind: Kind
    node: Label | None = None
    required: bool = False
    default: str | float | None = None


@dataclass(frozen=True, slots=True)
class TableSpec:
    """One table.

    Attributes:
        name: its name, which is the name of its file without the suffix.
        columns: the columns it may have.
        describes: the column with the id of the nodes that its rows describe.
        link: the two columns whose ids its rows link.
        kind: the column that tells several links of one pair apart.
        properties: whether any further column becomes a property of the node, or of the
            INTERACTED relationship.
        reserved: names that no such property may have, since the graph keeps its own there.
    """

    name: str
    columns: tuple[Column, ...]
    describes: str | None = None
    link: tuple[str, str] | None = None
    kind: str | None = None
    properties: bool = False
    reserved: tuple[str, ...] = ()

    @property
    def links_one_kind(self) -> bool:
        """Whether it links nodes of one label, none of which may be linked to itself."""
        labels = {column.node for column in self.columns if column.name in (self.link or ())}
        return len(labels) == 1

    @property
    def required(self) -> tuple[str, ...]:
        """Names of the columns that must be there."""
        return tuple(column.name for column in self.columns if column.required)

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns."""
        return tuple(column.name for column in self.columns)


def _node(name: str, node: Label, *, required: bool = True) -> Column:
    return Column(name, "id", node, required)


ITEMS = TableSpec(
    "items",
    (
        _node("item_id", "Item"),
        Column("title", "text"),
        Column("created_at", "time"),
        Column("available", "flag"),
    ),
    describes="item_id",
    properties=True,
)
USERS = TableSpec(
    "users",
    (_node("user_id", "User"), Column("name", "text")),
    describes="user_id",
    properties=True,
    reserved=("retracted_at",),
)
CATEGORIES = TableSpec(
    "categories",
    (
        _node("category_id", "Category"),
        Column("name", "text"),
        Column("kind", "kind"),
        _node("parent_id", "Category", required=False),
    ),
    describes="category_id",
    link=("category_id", "parent_id"),
)
ITEM_CATEGORIES = TableSpec(
    "item_categories",
    (
        _node("item_id", "Item"),
        _node("category_id", "Category"),
        Column("weight", "number", default=1.0),
    ),
    link=("item_id", "category_id"),
)
PREFERENCES = TableSpec(
    "preferences",
    (
        _node("user_id", "User"),
        _node("category_id", "Category"),
        Column("weight", "number", default=1.0),
    ),
    link=("user_id", "category_id"),
)
FOLLOWS = TableSpec(
    "follows",
    (_node("follower_id", "User"), _node("followee_id", "User"), Column("since", "time")),
    link=("follower_id", "followee_id"),
)
RELATED_ITEMS = TableSpec(
    "related_items",
    (
        _node("item_id", "Item"),
        _node("related_id", "Item"),
        Column("kind", "kind", default=DEFAULT_RELATION),
        Column("weight", "number", default=1.0),
    ),
    link=("item_id", "related_id"),
    kind="kind",
)
INTERACTIONS = TableSpec(
    "interactions",
    (
        _node("user_id", "User"),
        _node("item_id", "Item"),
        Column("event", "kind", default=DEFAULT_EVENT),
        Column("value", "number"),
        Column("timestamp", "time"),
        Column("event_id", "id"),
    ),
    properties=True,
    reserved=("weight", "count", "first_at", "last_at", "ledger_count", "ledger_weight"),
)

TABLES = (
    ITEMS,
    USERS,
    CATEGORIES,
    ITEM_CATEGORIES,
    RELATED_ITEMS,
    PREFERENCES,
    FOLLOWS,
    INTERACTIONS,
)
"""Every table, in the order in which they are loaded."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was left out, and why.

    Attributes:
        file: name of the file.
        line: line on which the row begins; in a Parquet file, the row counted from 1.
        column: column at fault; empty where the row as a whole is.
        reason: what came and what was expected.
        row: the row as it came, shortened where it is long.
        table: name of the table, which the name of the file need not tell.
        rows: how many rows it stands for: several where only their sum is at fault, whose line is
            0 then.
    """

    file: str
    line: int
    column: str
    reason: str
    row: str
    table: str = ""
    rows: int = 1

    def __str__(self) -> str:
        line = f", line {self.line}" if self.line else ""
        column = f", column {self.column}" if self.column else ""
        return f"{self.file}{line}{column}: {self.reason}"


Reject = Callable[[Rejected], None]
"""Takes note of a rejected row."""


class Tables(Protocol):
    """A data set as checked tables: a folder of files, or a named public data set."""

    @property
    def specs(self) -> Sequence[TableSpec]:
        """The tables there are, in the order of `TABLES`."""
        ...

    @property
    def warnings(self) -> Sequence[str]:
        """What is there and will not be used, one sentence each."""
        ...

    def row_count(self, spec: TableSpec) -> int | None:
        """About how many rows a table has, for a progress bar; None where it is not known."""
        ...

    def batches(self, spec: TableSpec, reject: Reject) -> Iterator[pl.DataFrame]:
        """The good rows of a table, in their order; the others go to `reject`.

        Each frame has every column of `spec`, typed (text, Float64, Boolean, Datetime in UTC),
        and after them, where `spec.properties`, those that become properties.

        Raises:
            TableError: the file cannot be read.
        """
        ...
