"""Taobao's UserBehavior: what a million people viewed, put into the cart, kept and bought.

Alibaba, Tianchi data set 649 (Zhu et al.: Learning Tree-based Deep Model for Recommender Systems,
KDD 2018). One file without a header: user, item, category, type, Unix seconds.
"""

from pathlib import Path

import polars as pl

from loaders.datasets._download import DataSet, Publication
from loaders.datasets._files import SourceFiles
from loaders.datasets._lines import LineForm, one_of
from loaders.datasets._stream import StreamTables, columns, distinct_table_of, table_of
from loaders.errors import TableError
from loaders.tables import CATEGORIES, INTERACTIONS, ITEM_CATEGORIES, Tables

_FILE = "UserBehavior.csv"
_EVENTS = {"pv": "view", "cart": "cart", "fav": "favourite", "buy": "purchase"}
_FORM = LineForm(("user", "item", "category", "type", "time"), parsers={"type": one_of(_EVENTS)})


def taobao(folder: Path) -> Tables:
    """The data set as `loaders.tables.Tables`.

    Args:
        folder: the folder with `UserBehavior.csv`, or with its archive.

    Raises:
        TableError: the file is missing.
    """
    files = SourceFiles(folder)
    if _FILE not in files:
        raise TableError(f"{files.describe()}: expected {_FILE} or its archive")
    return StreamTables(
        {
            CATEGORIES: distinct_table_of(
                files,
                _FILE,
                _FORM,
                CATEGORIES,
                columns(category_id="category", kind=pl.lit("category")),
            ),
            ITEM_CATEGORIES: distinct_table_of(
                files,
                _FILE,
                _FORM,
                ITEM_CATEGORIES,
                columns(item_id="item", category_id="category"),
            ),
            INTERACTIONS: table_of(
                files,
                _FILE,
                _FORM,
                INTERACTIONS,
                columns(user_id="user", item_id="item", event="type", timestamp="time"),
            ),
        }
    )


DATA_SETS = {"taobao": DataSet(taobao, Publication("https://tianchi.aliyun.com/dataset/649", {}))}
"""The data sets of this file, by name."""
