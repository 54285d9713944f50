"""The published Gowalla split as what models are fitted on and measured with."""

import tarfile
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import scipy.sparse as sp

from loaders.shared_files import checkout_root
from loaders.tables import read_interactions
from loaders.types import HeteroGraph, IdMap, Interactions
from recsvc.models import TrainingData


def gowalla_split() -> tuple[TrainingData, sp.csr_matrix]:
    """The training data, and what is held out, [users, items]."""
    shared = (checkout_root() or Path.cwd()).parent / "shared" / "data" / "lightgcn-gowalla"
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(next(shared.glob("*.tar.xz"))) as archive:
            archive.extractall(folder, filter="data")
        tables = [
            read_interactions(next(Path(folder).rglob(name))) for name in ("train.txt", "test.txt")
        ]
    return split_from(*tables)


def split_from(train: pl.DataFrame, test: pl.DataFrame) -> tuple[TrainingData, sp.csr_matrix]:
    """Two tables of different pairs as matrices of ones, over the ids of both."""
    users, items = (
        IdMap.from_unsorted([*train[column], *test[column]]) for column in ("user_id", "item_id")
    )

    def matrix(table: pl.DataFrame) -> sp.csr_matrix:
        rows, columns = (
            users.rows(table["user_id"].to_list()),
            items.rows(table["item_id"].to_list()),
        )
        ones = np.ones(len(rows), np.float32)
        return sp.csr_matrix((ones, (rows, columns)), shape=(len(users), len(items)))

    evidence = matrix(train)
    did = Interactions(
        np.repeat(np.arange(len(users)), np.diff(evidence.indptr)),
        evidence.indices.astype(np.int64),
        np.zeros(evidence.nnz, np.int8),
        evidence.data,
        np.full(evidence.nnz, np.nan),
        ("interaction",),
    )
    return TrainingData(HeteroGraph(users, items, IdMap([]), did), evidence), matrix(test)
