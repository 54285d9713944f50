"""From the properties of nodes to the vectors of a graph."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float32
from numpy.typing import NDArray

from loaders.errors import TableError
from loaders.extract import extract_texts
from loaders.gateway import Gateway
from loaders.tables import Rejected, Tables, table_texts
from loaders.types import HeteroGraph, NodeText
from recsvc.content.encode_nodes import Nodes, Said, Told, encoded
from recsvc.content.encoders import function_encoder, text_encoder
from recsvc.content.kept_vectors import FOLDER
from recsvc.content.options import ContentSource
from recsvc.content.texts import plain_text
from recsvc.errors import TrainingError

Read = Callable[[str, Sequence[str]], Iterable[NodeText]]
"""Gives, for a label, the values of some properties of its nodes."""


def _untold(_what: str, _done: int, _total: int) -> None:
    """Report no progress."""


@dataclass(frozen=True, slots=True)
class Describing:
    """How a graph is described.

    Attributes:
        source: which properties, and what encodes them.
        home: `RECSVC_HOME`, where vectors are kept.
        device: `cpu` or `cuda`.
        told: is told what is done.
    """

    source: ContentSource
    home: Path
    device: str = "cpu"
    told: Told = _untold

    def from_database(self, graph: HeteroGraph, gateway: Gateway) -> HeteroGraph:
        """A graph that was read from a database, see `described`."""
        ids = {"Item": graph.items, "User": graph.users, "Category": graph.categories}

        def read(label: str, properties: Sequence[str]) -> Iterable[NodeText]:
            return extract_texts(gateway, label, ids[label], properties)

        return described(graph, self, read, self.home / FOLDER / "graph")

    def from_tables(self, graph: HeteroGraph, tables: Tables) -> HeteroGraph:
        """A graph that was made of tables, see `described`."""

        def read(label: str, properties: Sequence[str]) -> Iterable[NodeText]:
            return table_texts(tables, label, properties, _refuse)

        return described(graph, self, read, self.home / FOLDER / "tables")


def _refuse(rejected: Rejected) -> None:
    raise TableError(f"{rejected}: correct it, or leave it out")


def described(graph: HeteroGraph, how: Describing, read: Read, folder: Path) -> HeteroGraph:
    """The graph with `content`: a vector of each item, and of each user where that is asked for.

    A vector is what the encoder gives, less the mean of all items, with length 1; where there are
    images, theirs stands beside it, and both together say how alike two items are:

        <c_j, c_i> = cos(t_j, t_i) + w · cos(m_j, m_i)

    with t the texts, m the images and w the image weight.

    Args:
        graph: nodes and relationships.
        how: what is encoded, and by what.
        read: reads the properties of nodes.
        folder: where vectors are kept.

    Raises:
        TrainingError: nothing is there to encode, the encoder does not work, or the vectors do not
            fit into memory.
        Neo4jError: the graph cannot be read.
        TableError: a table cannot be read.
    """
    source, told = how.source, how.told
    items = Nodes("items", graph.items, folder / "Item.npz", told)
    parts: list[Float32[NDArray[np.float32], "items dim"]] = []
    text = text_encoder(source.encoder, source.encoder_model, how.device) if source.texts else None
    mean = None
    if text and (source.items or source.categories):
        raw = encoded(items, _item_texts(graph, source, read), text)
        mean = _mean(raw)
        parts.append(_directions(raw, mean))
    if source.images:
        file = folder / "Item-images.npz"
        raw = encoded(
            Nodes("images", graph.items, file, told), _images(source, read),
            function_encoder(source.image_encoder),
        )  # fmt: skip
        own = _directions(raw, _mean(raw))
        parts.append((np.sqrt(source.image_weight) * own).astype(np.float32))
    content = {"Item": np.concatenate(parts, axis=1)}
    if not content["Item"].any():
        raise TrainingError(_nothing(source))
    if text and source.users:
        users = Nodes("users", graph.users, folder / "User.npz", told)
        raw = encoded(users, _user_texts(source, read), text)
        own = _directions(raw, _mean(raw) if mean is None else mean)
        wider = content["Item"].shape[1] - own.shape[1]
        content["User"] = np.pad(own, [(0, 0), (0, max(0, wider))])
    return replace(graph, content=content)


def _nothing(source: ContentSource) -> str:
    named = [*source.items, *(f"category.{name}" for name in source.categories)]
    named += [source.images] if source.images else []
    return (
        f"no two items differ in {', '.join(named)}, so there is nothing to encode: name other "
        "properties in [models.content], or leave content out"
    )


def _item_texts(graph: HeteroGraph, source: ContentSource, read: Read) -> Iterator[Said]:
    """The text of each item: its own properties, then those of its categories."""
    of_category = np.array([""] * len(graph.categories), object)
    if source.categories:
        for node, text in _plain(read("Category", source.categories)):
            if (row := graph.categories.row(node)) >= 0:
                of_category[row] = text
    links = graph.in_category.matrix(len(graph.items), len(graph.categories))
    own = {graph.items.row(node): text for node, text in _plain(read("Item", source.items))}
    for row, item in enumerate(graph.items):
        linked = slice(links.indptr[row], links.indptr[row + 1])
        strongest = np.argsort(-links.data[linked], kind="stable")
        names = of_category[links.indices[linked][strongest]].tolist()
        text = plain_text([[own.get(row, "")], names])
        yield Said(item, text, text)


def _user_texts(source: ContentSource, read: Read) -> Iterator[Said]:
    return (Said(node, text, text) for node, text in _plain(read("User", source.users)))


def _plain(nodes: Iterable[NodeText]) -> Iterator[tuple[str, str]]:
    return ((node.id, plain_text(node.values)) for node in nodes)


def _images(source: ContentSource, read: Read) -> Iterator[Said]:
    """The image of each item, as far as that is a file below the folder of images."""
    assert source.image_folder is not None
    folder = source.image_folder.resolve()
    for node in read("Item", [source.images]):
        named = next((value for values in node.values for value in values if value), "")
        with contextlib.suppress(OSError, ValueError):  # it is not there, or no path
            path = (folder / named).resolve(strict=True)
            if path.is_relative_to(folder) and path.is_file():
                status = path.stat()
                yield Said(node.id, f"{path} {status.st_size} {status.st_mtime_ns}", path)


def _mean(
    vectors: Float32[NDArray[np.float32], "nodes dim"],
) -> Float32[NDArray[np.float32], " dim"]:
    """The mean of the vectors that are not 0."""
    some = vectors.any(axis=1)
    return vectors[some].mean(axis=0) if some.any() else np.zeros(vectors.shape[1], np.float32)


def _directions(
    vectors: Float32[NDArray[np.float32], "nodes dim"], mean: Float32[NDArray[np.float32], " dim"]
) -> Float32[NDArray[np.float32], "nodes dim"]:
    """The vectors less a mean, each of length 1; one that is 0 stays so."""
    moved = np.where(vectors.any(axis=1, keepdims=True), vectors - mean, np.float32(0.0))
    length = np.linalg.norm(moved, axis=1, keepdims=True)
    return np.divide(moved, length, out=np.zeros_like(moved), where=length > 1e-6)
