"""What nodes say of themselves: the values of some of their properties, as text."""

from collections.abc import Iterator, Sequence
from typing import Final

from loaders.catalogue import catalogue
from loaders.extract._reading import SESSIONS, joined, ranges, side_by_side
from loaders.gateway import Gateway
from loaders.graph_map import GraphMap
from loaders.limits import MAX_READ_CHARACTERS
from loaders.types import IdMap, NodeText

_QUERIES: Final = {
    "Item": "extract/item_texts",
    "User": "extract/user_texts",
    "Category": "extract/category_texts",
}


def extract_texts(
    gateway: Gateway, label: str, ids: IdMap, properties: Sequence[str]
) -> Iterator[NodeText]:
    """The values of some properties, in the order in which they are named, a node at a time.

    In the graph of somebody else, properties have their names there; `title`, and `name` of a user
    or category, are what the mapping says.

    Args:
        gateway: the graph.
        label: of the nodes: `Item`, `User` or `Category`.
        ids: of the nodes.
        properties: names.

    Raises:
        Neo4jError: the graph cannot be read.
    """
    query = catalogue()[_QUERIES[label]]
    names = _names(gateway.graph, label, properties)

    def read(some: Sequence[str]) -> list[NodeText]:
        rows = gateway.run(query, ids=list(some), properties=names, characters=MAX_READ_CHARACTERS)
        pairs = zip(joined(rows, "ids"), joined(rows, "texts"), strict=True)
        return [NodeText(node, texts) for node, texts in pairs]

    parts = [cut.ids for cut in ranges(ids)]
    for nodes in side_by_side(read, parts, SESSIONS):
        yield from nodes


def _names(graph: GraphMap | None, label: str, properties: Sequence[str]) -> list[str]:
    """The names of the properties in this graph."""
    if graph is None:
        return list(properties)
    kinds = {"Item": [graph.item], "User": [graph.user], "Category": [*graph.category.values()]}
    of_title = [kind.title or kind.id for kind in kinds[label]]
    usual = "title" if label == "Item" else "name"
    return [own for name in properties for own in (of_title if name == usual else [name])]
