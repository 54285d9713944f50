"""The graph as files."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import polars as pl

from loaders.extract._formats import all_edges, id_maps, to_hetero_data, to_networkx, to_tables
from loaders.extract._graph import extract_graph
from loaders.extract._reading import Progress, silent
from loaders.extract._selection import EDGES, Selection
from loaders.files import whole_files
from loaders.gateway import Gateway
from loaders.types import Edges, HeteroGraph

Format = Literal["npz", "parquet", "hetero", "networkx"]
FORMATS: tuple[Format, ...] = get_args(Format)


@dataclass(frozen=True, slots=True)
class SavedGraph:
    """What `extract_to_folder` wrote, and how fast it was read.

    Attributes:
        folder: where.
        nodes: nodes by label.
        relationships: relationships by type.
        seconds: time of reading from Neo4j.
    """

    folder: Path
    nodes: Mapping[str, int]
    relationships: Mapping[str, int]
    seconds: float

    @property
    def relationships_per_second(self) -> float:
        """Relationships read per second."""
        return sum(self.relationships.values()) / self.seconds if self.seconds else 0.0


def extract_to_folder(
    gateway: Gateway,
    folder: Path,
    progress: Progress = silent,
    selection: Selection | None = None,
    form: Format = "npz",
) -> SavedGraph:
    """Read the graph, or a part of it, and write it into a folder.

    Args:
        gateway: the graph.
        folder: where; it is made if it is missing.
        progress: told what is done.
        selection: which part; all of it unless given.
        form: `npz` (`graph.npz`), `hetero` (`graph.pt`) or `networkx` (`graph.json`), each with
            the id tables `users.csv`, `items.csv`, `categories.csv`; or `parquet`, the tables of
            CONTRACT §2.

    Raises:
        ValueError: there is no such form.
        Neo4jError: the graph cannot be read.
        OSError: the folder cannot be written.
    """
    if form not in FORMATS:
        raise ValueError(f"no form {form!r}: expected one of {', '.join(FORMATS)}")
    started = time.perf_counter()
    graph = extract_graph(gateway, progress, selection)
    return save_graph(graph, folder, form, time.perf_counter() - started)


def save_graph(graph: HeteroGraph, folder: Path, form: Format, seconds: float) -> SavedGraph:
    """Write a graph into a folder.

    Args:
        graph: the graph.
        folder: where; it is made if it is missing.
        form: see `extract_to_folder`.
        seconds: time of reading.

    Raises:
        OSError: the folder cannot be written.
    """
    with whole_files(folder) as part:
        _WRITERS[form](graph, part)
    return SavedGraph(
        folder,
        {_TABLE[label]: len(ids) for label, ids in id_maps(graph).items()},
        {kind: len(edges) for _, kind, _, edges in all_edges(graph)},
        seconds,
    )


_INTERACTIONS = ("user_index", "item_index", "event_index", "weight", "last_at")
_EDGES = ("source", "target", "weight")
_TABLE = {"User": "users", "Item": "items", "Category": "categories"}


def _write_ids(graph: HeteroGraph, folder: Path) -> None:
    for label, ids in id_maps(graph).items():
        table = pl.DataFrame({"index": np.arange(len(ids)), "id": list(ids)})
        table.write_csv(folder / f"{_TABLE[label]}.csv")


def _write_npz(graph: HeteroGraph, folder: Path) -> None:
    arrays: dict[str, np.ndarray[Any, Any]] = {"event_names": np.array(graph.interactions.events)}
    for column in _INTERACTIONS:
        arrays[f"interactions_{column}"] = getattr(graph.interactions, column)
    for name, _, _ in EDGES.values():
        edges: Edges = getattr(graph, name)
        for column in _EDGES:
            arrays[f"{name}_{column}"] = getattr(edges, column)
    np.savez(folder / "graph.npz", allow_pickle=False, **arrays)
    _write_ids(graph, folder)


def _write_hetero(graph: HeteroGraph, folder: Path) -> None:
    import torch  # here, since it takes seconds to import and only this function needs it

    # Plain tensors in a mapping can be loaded without trusting the file with code.
    with (folder / "graph.pt").open("wb") as file:
        torch.save(to_hetero_data(graph).to_dict(), file)
    _write_ids(graph, folder)


def _write_networkx(graph: HeteroGraph, folder: Path) -> None:
    import networkx as nx  # here, since only this function needs it

    linked = nx.node_link_data(to_networkx(graph), edges="edges")
    text = json.dumps(linked, allow_nan=False, ensure_ascii=False)
    (folder / "graph.json").write_bytes(text.encode(errors="surrogatepass"))
    _write_ids(graph, folder)


def _write_parquet(graph: HeteroGraph, folder: Path) -> None:
    for spec, table in to_tables(graph).items():
        table.write_parquet(folder / f"{spec.name}.parquet")


_WRITERS: Mapping[Format, Callable[[HeteroGraph, Path], None]] = {
    "npz": _write_npz,
    "parquet": _write_parquet,
    "hetero": _write_hetero,
    "networkx": _write_networkx,
}
