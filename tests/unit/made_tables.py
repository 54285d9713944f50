"""A small made data set with three tastes, as files and as training data."""

from pathlib import Path

import numpy as np

from loaders.tables import FolderTables, graph_from_tables
from loaders.types import HeteroGraph
from recsvc.evidence import evidence_matrix
from recsvc.models import TrainingData
from recsvc.settings import Settings

TASTES, USERS, ITEMS = 3, 90, 20  # users in all, items of each taste


def write_tables(folder: Path) -> tuple[Path, Path]:
    """`interactions.csv` and `test.csv`: everybody has items of one taste, and two more."""
    generator = np.random.default_rng(0)
    parts: tuple[list[str], list[str]] = ([], [])
    for user in range(USERS):
        own = generator.permutation(ITEMS)[:12] + user % TASTES * ITEMS
        items = np.concatenate([own, generator.integers(0, TASTES * ITEMS, 2)])
        for number, item in enumerate(dict.fromkeys(items.tolist())):
            parts[number % 5 == 0].append(f"u{user:03},i{item:03}")
    for name, rows in zip(("interactions", "test"), parts, strict=True):
        (folder / f"{name}.csv").write_text("\n".join(["user_id,item_id", *rows]) + "\n")
    return folder / "interactions.csv", folder / "test.csv"


def training_data(folder: Path) -> TrainingData:
    """The interactions of `write_tables`."""
    graph = training_graph(folder)
    return TrainingData(graph, evidence_matrix(graph, Settings().events, now=0.0))


def training_graph(folder: Path) -> HeteroGraph:
    """The same as a graph."""
    _, test = write_tables(folder)
    content = test.read_text()
    test.unlink()
    rejected: list[object] = []
    graph = graph_from_tables(FolderTables(folder), rejected.append)
    test.write_text(content)
    assert not rejected
    return graph
