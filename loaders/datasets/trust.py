"""Ciao and Epinions: ratings of products by category, how helpful they were, and who trusts whom.

Tang, Gao, Liu: mTrust: Discerning Multi-Faceted Trust in a Connected World, WSDM 2012. Both are
MATLAB files of one form; a sixth column of the ratings, where there is one, is their time.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from loaders.datasets._download import DataSet, Publication
from loaders.datasets._files import SourceFiles
from loaders.datasets._stream import Read, StreamTables, made_table
from loaders.errors import TableError
from loaders.tables import (
    CATEGORIES,
    FOLLOWS,
    INTERACTIONS,
    ITEM_CATEGORIES,
    Reject,
    Tables,
    TableSpec,
)

EVENT = "rating"
"""Kind of the interactions; their value is the rating."""
_RATING_FILES = ("rating_with_timestamp.mat", "rating.mat")
_TRUST_FILES = ("trustnetwork.mat", "trust.mat")
_RATING_COLUMNS = ("user_id", "item_id", "category_id", "value", "helpfulness", "timestamp")
_UNREADABLE = (
    MatReadError,
    NotImplementedError,  # MATLAB's version 7.3, which is HDF5
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    EOFError,
    struct.error,
    zlib.error,
)


def trust(folder: Path) -> Tables:
    """Ciao or Epinions as `loaders.tables.Tables`; the ratings are held in memory.

    Args:
        folder: the folder with `rating.mat` (or `rating_with_timestamp.mat`), and where they are
            there `trustnetwork.mat` and `category.txt`; or with their archive.

    Raises:
        TableError: there are no ratings, or a file is not of this form.
    """
    files = SourceFiles(folder)
    name = files.first(*_RATING_FILES)
    if name is None:
        raise TableError(f"{files.describe()}: expected {_RATING_FILES[1]} or its archive")
    ratings = _ratings(files, name)
    tables: dict[TableSpec, Read] = {
        CATEGORIES: _categories(files, ratings, name),
        ITEM_CATEGORIES: _frame_table(
            ratings.select("item_id", "category_id").unique(maintain_order=True),
            ITEM_CATEGORIES,
            name,
        ),
        INTERACTIONS: _frame_table(
            ratings.drop("category_id").with_columns(event=pl.lit(EVENT)), INTERACTIONS, name
        ),
    }
    if trust_name := files.first(*_TRUST_FILES):
        pairs = _matrix(files, trust_name, (2,))
        follows = pl.DataFrame({"follower_id": pairs[:, 0], "followee_id": pairs[:, 1]})
        tables[FOLLOWS] = _frame_table(follows, FOLLOWS, trust_name)
    return StreamTables(tables)


def _ratings(files: SourceFiles, name: str) -> pl.DataFrame:
    matrix = _matrix(files, name, (5, 6))
    names = _RATING_COLUMNS[: matrix.shape[1]]
    return pl.DataFrame({column: matrix[:, i] for i, column in enumerate(names)})


def _matrix(files: SourceFiles, name: str, widths: tuple[int, ...]) -> np.ndarray:
    """The one matrix of a file."""
    with files.open(name) as stream:
        try:
            # A stream of an archive cannot be sought in; the stubs know of paths only.
            held = loadmat(io.BytesIO(stream.read()))  # pyright: ignore[reportArgumentType]
        except _UNREADABLE as error:
            raise TableError(f"{name} is not a MATLAB file up to version 7: {error}") from error
    arrays = [array for key, array in held.items() if not key.startswith("__")]
    if len(arrays) == 1 and isinstance(arrays[0], np.ndarray):
        matrix = arrays[0]
        if matrix.ndim == 2 and matrix.shape[1] in widths and matrix.dtype.kind in "iuf":
            return matrix
    shapes = ", ".join(
        f"{getattr(array, 'dtype', type(array))}{np.shape(array)}" for array in arrays
    )
    raise TableError(
        f"{name} holds {shapes or 'nothing'}: expected one matrix of numbers with "
        f"{' or '.join(map(str, widths))} columns"
    )


def _frame_table(frame: pl.DataFrame, spec: TableSpec, name: str) -> Read:
    return lambda reject: iter([made_table(frame, spec, name, reject)])


def _categories(files: SourceFiles, ratings: pl.DataFrame, name: str) -> Read:
    """The categories that occur; their names are those of `category.txt`."""

    def read(reject: Reject) -> Iterator[pl.DataFrame]:
        ids = ratings.select("category_id").unique().sort("category_id")
        frame = ids.with_columns(pl.col("category_id").cast(pl.Int64).cast(pl.String))
        names = pl.Series([named.get(number) for number in frame["category_id"]], dtype=pl.String)
        frame = frame.with_columns(name=names, kind=pl.lit("category"))
        yield made_table(frame, CATEGORIES, name, reject)

    named = _names(files)
    return read


def _names(files: SourceFiles) -> dict[str, str]:
    """Names of `category.txt` by number: lines such as `6 Food & Drink`."""
    if "category.txt" not in files:
        return {}
    lines = files.read("category.txt").decode("utf-8", "replace").splitlines()
    split = (line.strip().partition(" ") for line in lines)
    return {number: name.strip() for number, _, name in split if name.strip()}


_PUBLICATION = Publication("https://www.cse.msu.edu/~tangjili/datasetcode/truststudy.htm", {})

DATA_SETS = {name: DataSet(trust, _PUBLICATION) for name in ("ciao", "epinions")}
"""The data sets of this file, by name."""
