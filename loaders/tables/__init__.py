"""The input tables: what they hold, how they are read, and how every row is checked.

A data set is anything that gives `Tables`: files of CSV, JSON Lines or Parquet (`open_tables`), or
a named public data set (`loaders.datasets`). Tables come in batches, so that a file may be larger
than memory. docs/tables.md says the same for those who write the files.
"""

from loaders.tables._category_cells import CategoryCells
from loaders.tables._check import as_table
from loaders.tables._distinct import Distinct
from loaders.tables._folder import FileTables, FolderTables, open_tables
from loaders.tables._frames import FrameTables
from loaders.tables._graph import graph_from_tables
from loaders.tables._interactions import read_interactions
from loaders.tables._mapping import SAME_NAMES, TableMapping, parse_mapping
from loaders.tables._reasons import Reason
from loaders.tables._rejects import RejectedRows, Rejects, forget_rejected, refuse_rejected
from loaders.tables._spec import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    ITEMS,
    PREFERENCES,
    RELATED_ITEMS,
    TABLES,
    USERS,
    Column,
    Label,
    Reject,
    Rejected,
    Tables,
    TableSpec,
)
from loaders.tables._spill import Spill
from loaders.tables._texts import table_texts
from loaders.tables._totals import InteractionTotals, reject_sum, within_limits

__all__ = [
    "CATEGORIES",
    "FOLLOWS",
    "INTERACTIONS",
    "ITEMS",
    "ITEM_CATEGORIES",
    "PREFERENCES",
    "RELATED_ITEMS",
    "SAME_NAMES",
    "TABLES",
    "USERS",
    "CategoryCells",
    "Column",
    "Distinct",
    "FileTables",
    "FolderTables",
    "FrameTables",
    "InteractionTotals",
    "Label",
    "Reason",
    "Reject",
    "Rejected",
    "RejectedRows",
    "Rejects",
    "Spill",
    "TableMapping",
    "TableSpec",
    "Tables",
    "as_table",
    "forget_rejected",
    "graph_from_tables",
    "open_tables",
    "parse_mapping",
    "read_interactions",
    "refuse_rejected",
    "reject_sum",
    "table_texts",
    "within_limits",
]
