"""A mapping compared with the graph: what was found, what is missing, what will be slow."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from loaders.catalogue import catalogue
from loaders.errors import ForeignGraphError
from loaders.gateway import Gateway
from loaders.graph_map import GraphMap, PathMap, quoted
from loaders.graph_survey import indexed_properties


@dataclass(frozen=True, slots=True)
class MappingCheck:
    """What a mapping comes to.

    Attributes:
        found: how many users, items, categories, interactions, follows, and links with categories.
        missing: what the mapping names and the graph does not have, or has none of.
        slow: what no index serves, each with the statement that makes one.
    """

    found: dict[str, int]
    missing: tuple[str, ...]
    slow: tuple[str, ...]


def check_mapping(gateway: Gateway, graph: GraphMap) -> MappingCheck:
    """Compare a mapping with the graph that a gateway reads by it; nothing is changed.

    Raises:
        ForeignGraphError: what it says would be written and not read.
        Neo4jError: the graph cannot be read, or Neo4j does not take what the mapping says.
    """
    (schema,) = gateway.run(catalogue()["attach/known"])
    names = (
        ("label", _labels(graph), schema["labels"]),
        ("type of relationships", _types(graph), schema["types"]),
        ("property", _properties(graph), schema["properties"]),
    )
    missing = [
        f"the graph has no {what} {name}"
        for what, wanted, there in names
        for name in sorted(wanted - set(there))
    ]
    counts = catalogue()["attach/counts"]
    if gateway.plan(counts).writes:  # its grammar lets nothing through that does
        raise ForeignGraphError("[graph] makes a statement that writes: nothing was run")
    counted: dict[str, int] = dict(gateway.run(counts)[0])
    wanted = ["users", "items", "interactions"]
    wanted += ["categories", "in_category"] if graph.item_categories else []
    wanted += ["follows"] if graph.follows else []
    missing += [f"no {name.replace('_', ' ')} were found" for name in wanted if not counted[name]]
    _, indexed = indexed_properties(gateway)
    nodes = (graph.user, graph.item, *graph.category.values())
    slow = [
        f"no index serves :{node.label}({node.id}): CREATE CONSTRAINT FOR "
        f"(n:{quoted(node.label)}) REQUIRE n.{quoted(node.id)} IS UNIQUE makes one"
        for node in nodes
        if node.label in schema["labels"] and node.id not in indexed.get(node.label, ())
    ]
    return MappingCheck(counted, tuple(missing), tuple(slow))


def _paths(graph: GraphMap) -> tuple[PathMap, ...]:
    return (*graph.interactions, *graph.follows, *graph.item_categories)


def _bare(names: str) -> set[str]:
    return {name.strip("`") for name in names.split("|") if name}


def _labels(graph: GraphMap) -> set[str]:
    own = {each.label for each in (graph.user, graph.item, *graph.category.values())}
    return own.union(*(_bare(hop.labels) for path in _paths(graph) for hop in path.hops[1]))


def _types(graph: GraphMap) -> set[str]:
    return set[str]().union(*(_bare(hop.types) for path in _paths(graph) for hop in path.hops[1]))


def _properties(graph: GraphMap) -> set[str]:
    nodes = (graph.user, graph.item, *graph.category.values())
    said = {name for each in nodes for name in (each.id, each.title) if name}
    texts = [graph.item.available, *(each.where for each in nodes)]
    for path in _paths(graph):
        texts += [path.read("value"), path.read("timestamp"), path.where]
        texts += [path.event] if path.event_property else []
    return said.union(*map(_in_expression, filter(None, texts)))


def _in_expression(text: str) -> Iterator[str]:
    without = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    for match in re.finditer(r"\.\s*(?:`([^`]+)`|([^\W\d]\w*))", without):
        yield match[1] or match[2]
