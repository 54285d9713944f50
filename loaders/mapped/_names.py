"""Labels, ids, titles and names, as a mapping has them."""

import re
from collections.abc import Mapping

from loaders.graph_map import GraphMap, NodeMap, quoted, renamed

ID_OF = {"user_id": "User", "item_id": "Item", "category_id": "Category"}
"""The label of the nodes that each id is of."""
_OTHERS = ("title", "name", "kind", "available", "created_at")


def as_text(value: str) -> str:
    """A text as Cypher writes it."""
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def number_of(wanted: str) -> str:
    """The whole number that an id as text is; null where it is none, as `01` is not."""
    return f"CASE WHEN toString(toIntegerOrNull({wanted})) = {wanted} THEN toInteger({wanted}) END"


class Names:
    """What stands for nodes and their properties in one statement."""

    def __init__(self, graph: GraphMap, text: str) -> None:
        self._graph, self._text = graph, text
        self.labels = graph.labels

    @staticmethod
    def is_mapped(key: str) -> bool:
        """Whether a property of a node is called otherwise in the graph."""
        return key in ID_OF or key in _OTHERS

    def has_one_id(self, label: str) -> bool:
        """Whether one property holds the ids of a label; of several kinds of categories not."""
        return len(self._nodes(label)) == 1

    def _nodes(self, label: str) -> dict[str, NodeMap]:
        """What is mapped to a label, by kind of category."""
        if label == "Category":
            return dict(self._graph.category)
        return {"": self._graph.user if label == "User" else self._graph.item}

    def conditions(self, name: str, label: str) -> list[str]:
        """The conditions on a node of a label."""
        kinds = self._nodes(label).values()
        if not any(kind.where for kind in kinds):
            return []
        own = [
            f"{name}:{quoted(kind.label)} AND "
            f"({renamed(kind.where, {label.lower(): name}) if kind.where else 'true'})"
            for kind in kinds
        ]
        return [own[0].partition(" AND ")[2] if len(own) == 1 else f"({' OR '.join(own)})"]

    def has_id(self, name: str, label: str, wanted: str) -> str:
        """That a node has an id, as text or as the whole number that the text is."""
        nodes = list(self._nodes(label).values())
        if len(nodes) != 1:
            return f"{self._id(name, label)} = {wanted}"
        return f"{name}.{quoted(nodes[0].id)} IN [{wanted}, {number_of(wanted)}]"

    def _id(self, name: str, label: str) -> str:
        nodes = self._nodes(label)
        if len(nodes) == 1:
            return f"toStringOrNull({name}.{quoted(next(iter(nodes.values())).id)})"
        return self._by_kind(
            name,
            {
                kind: f"{as_text(kind + ':')} + toStringOrNull({name}.{quoted(node.id)})"
                for kind, node in nodes.items()
            },
        )

    def _by_kind(self, name: str, values: Mapping[str, str]) -> str:
        """A value of a category, by its label."""
        if not values:
            return "null"
        cases = (f"WHEN {name}:{quoted(self._graph.category[kind].label)} THEN {value}"
                 for kind, value in values.items())  # fmt: skip
        return f"CASE {' '.join(cases)} END"

    def id_in(self, name: str, label: str, listed: str) -> str:
        """That a node has one of some ids, of a label that has one property of ids."""
        key = quoted(next(iter(self._nodes(label).values())).id)
        numbers = f"[id IN {listed} WHERE toString(toIntegerOrNull(id)) = id | toInteger(id)]"
        return f"{name}.{key} IN ({listed} + {numbers})"

    def value(self, name: str, key: str) -> str:
        """What stands for a property of a node."""
        if key in ID_OF:
            return self._id(name, ID_OF[key])
        if key == "available":
            condition = self._graph.item.available
            return f"({renamed(condition, {'item': name})})" if condition else "true"
        kinds = self._graph.category
        if key == "kind":
            return self._by_kind(name, {kind: as_text(kind) for kind in kinds})
        if key == "title":
            title = self._graph.item.title
            return f"{name}.{quoted(title)}" if title else "null"
        if key == "name":
            return self._name(name)
        return "null"

    def _name(self, name: str) -> str:
        """The name of a user or category."""
        graph, labels = self._graph, set(re.findall(rf"\({name}:(\w+)", self._text))
        cases = [(graph.user.label, graph.user.title)] if labels != {"Category"} else []
        if labels != {"User"}:
            cases += [
                (category.label, category.title or category.id)
                for category in graph.category.values()
            ]
        given = [(label, f"{name}.{quoted(title)}") for label, title in cases if title]
        if len(cases) == 1 and labels and given:
            return given[0][1]
        listed = " ".join(f"WHEN {name}:{quoted(label)} THEN {value}" for label, value in given)
        return f"CASE {listed} END" if given else "null"
