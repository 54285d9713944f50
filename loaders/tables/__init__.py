"""The input tables: what they hold, how they are read, and how every row is checked.

A data set is anything that gives `Tables`: a folder of CSV or Parquet files (`FolderTables`) or a
named public data set (`loaders.datasets`). Tables come in batches, so that a file may be larger
than memory. docs/tables.md says the same for those who write the files.
"""

from loaders.tables._check import as_table
from loaders.tables._folder import FolderTables, read_interactions
from loaders.tables._frames import FrameTables
from loaders.tables._graph import graph_from_tables
from loaders.tables._rejects import Rejects, refuse_rejected
from loaders.tables._spec import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    TABLES,
    USERS,
    Column,
    Label,
    Reject,
    Rejected,
    Tables,
    TableSpec,
)
from loaders.tables._totals import InteractionTotals

__all__ = [
    "CATEGORIES",
    "FOLLOWS",
    "INTERACTIONS",
    "ITEMS",
    "ITEM_CATEGORIES",
    "PREFERENCES",
    "TABLES",
    "USERS",
    "Column",
    "FolderTables",
    "FrameTables",
    "InteractionTotals",
    "Label",
    "Reject",
    "Rejected",
    "Rejects",
    "TableSpec",
    "Tables",
    "as_table",
    "graph_from_tables",
    "read_interactions",
    "refuse_rejected",
]
