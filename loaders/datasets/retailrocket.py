"""RetailRocket: what visitors of a shop viewed, put into the cart and bought.

RetailRocket recommender system dataset, published on Kaggle. Read in its own form (`events.csv`,
`item_properties_part*.csv`, `category_tree.csv`), and as prepared by SSLRec (Ren et al., WSDM
2024): one pickled matrix of times for each kind of event.
"""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from loaders.datasets._download import DataSet, Publication
from loaders.datasets._files import SourceFiles
from loaders.datasets._lines import MILLISECONDS, WHOLE, LineForm, one_of
from loaders.datasets._pickles import Cells, csr_cells
from loaders.datasets._stream import (
    Read,
    StreamTables,
    columns,
    gathered,
    ignore,
    made_table,
    rows_of,
    table_of,
)
from loaders.errors import TableError
from loaders.tables import (
    CATEGORIES,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    USERS,
    Reject,
    Tables,
    TableSpec,
)
from loaders.tables._spec import BATCH_ROWS

_EVENTS = {"view": "view", "addtocart": "cart", "transaction": "purchase"}
_MATRICES = {
    "train_mat_view.pkl": "view",
    "train_mat_cart.pkl": "cart",
    "train_mat_buy.pkl": "purchase",
}
_PROPERTY_FILES = "item_properties*.csv"
_EVENT_FORM = LineForm(
    ("timestamp", "visitorid", "event", "itemid", "transactionid"),
    header=True,
    parsers={"timestamp": MILLISECONDS, "event": one_of(_EVENTS)},
)
_PROPERTY_FORM = LineForm(
    ("timestamp", "itemid", "property", "value"), header=True, parsers={"timestamp": WHOLE}
)
_TREE_FORM = LineForm(("categoryid", "parentid"), header=True)
_TEST_LEFT_OUT = (
    "test_mat.pkl is not used: it is what a recommendation is to find, one purchase per user"
)


def retailrocket(folder: Path) -> Tables:
    """The data set as `loaders.tables.Tables`, whichever form it has.

    Args:
        folder: the folder with the files, or with their archive.

    Raises:
        TableError: there are no events, or a pickle is not that of a matrix.
    """
    files = SourceFiles(folder)
    if "events.csv" in files:
        return StreamTables(_original(files))
    if any(name in files for name in _MATRICES):
        return StreamTables(_prepared(files), (_TEST_LEFT_OUT,))
    raise TableError(f"{files.describe()}: expected events.csv, or SSLRec's {', '.join(_MATRICES)}")


def _original(files: SourceFiles) -> dict[TableSpec, Read]:
    tables: dict[TableSpec, Read] = {
        INTERACTIONS: table_of(
            files,
            "events.csv",
            _EVENT_FORM,
            INTERACTIONS,
            columns(
                "event",
                "timestamp",
                user_id="visitorid",
                item_id="itemid",
                transaction_id="transactionid",
            ),
        )
    }
    if files.matching(_PROPERTY_FILES):
        tables[ITEMS] = _newest(files, "available", ITEMS, "available")
        tables[ITEM_CATEGORIES] = _newest(files, "categoryid", ITEM_CATEGORIES, "category_id")
    if "category_tree.csv" in files:
        tables[CATEGORIES] = table_of(
            files,
            "category_tree.csv",
            _TREE_FORM,
            CATEGORIES,
            columns(category_id="categoryid", kind=pl.lit("category"), parent_id="parentid"),
        )
    return tables


def _newest(files: SourceFiles, name: str, spec: TableSpec, column: str) -> Read:
    """The newest value of a property of each item: it changes from week to week.

    Args:
        files: the data set's files.
        name: the property; all but two are hashed and left out.
        spec: the table.
        column: its column for the value.
    """

    def newest(rows: pl.DataFrame) -> pl.DataFrame:
        last = rows.sort("timestamp", "value").unique("itemid", keep="last")
        return last.sort("itemid")

    def stated(reject: Reject) -> Iterator[pl.DataFrame]:
        for file in files.matching(_PROPERTY_FILES):
            for batch in rows_of(files, file, _PROPERTY_FORM, reject):
                yield batch.frame.filter(pl.col("property") == name).drop("property")

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        # A line that cannot be read is rejected once, with the items.
        for part in gathered(stated(reject if spec is ITEMS else ignore), newest):
            frame = part.select(pl.col("value").alias(column), item_id="itemid")
            yield made_table(frame, spec, "item_properties", reject)

    return read


def _prepared(files: SourceFiles) -> dict[TableSpec, Read]:
    """Matrices whose rows are users, columns items and values Unix seconds; held in memory."""
    matrices: dict[str, Cells] = {}
    for name in _MATRICES:
        if name in files:
            with files.open(name) as stream:
                matrices[name] = csr_cells(stream, name)
    users, items = (max(cells.shape[axis] for cells in matrices.values()) for axis in (0, 1))

    def interactions(reject: Reject) -> Iterator[pl.DataFrame]:
        for name, cells in matrices.items():
            frame = pl.DataFrame(
                {"user_id": cells.row, "item_id": cells.column, "timestamp": cells.value}
            )
            frame = frame.with_columns(event=pl.lit(_MATRICES[name]))
            yield made_table(frame, INTERACTIONS, name, reject)

    return {
        ITEMS: _counted("item_id", items, ITEMS),
        USERS: _counted("user_id", users, USERS),
        INTERACTIONS: interactions,
    }


def _counted(column: str, count: int, spec: TableSpec) -> Read:
    """Users or items by number, from 0."""

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        for start in range(0, count, BATCH_ROWS):
            numbers = pl.int_range(start, min(start + BATCH_ROWS, count), eager=True)
            yield made_table(numbers.to_frame(column), spec, spec.name, reject)

    return read


DATA_SETS = {
    "retailrocket": DataSet(
        retailrocket,
        Publication("https://www.kaggle.com/datasets/retailrocket/ecommerce-dataset", {}),
    )
}
"""The data sets of this file, by name."""
