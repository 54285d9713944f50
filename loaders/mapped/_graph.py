"""The graph of somebody else, and the statements written for it."""

import re
from collections.abc import Mapping
from typing import Any, LiteralString, cast

from loaders.catalogue import Query
from loaders.disk_versions import DiskVersions, Row
from loaders.errors import ForeignGraphError
from loaders.graph_map import PREFIX, GraphMap
from loaders.mapped._paths import LINKED
from loaders.mapped._statement import Writer
from loaders.mapped._writes import Writes

_ONES = re.compile(rf":(?:User|Item|Category|{'|'.join(LINKED)})\b")
_OWN = re.compile(
    r"\b(?:(?:user_|item_)?embedding_|(?:EmbeddingVersion|SnapshotPart|RefreshLease|WriteLock|"
    r"Deletion|Event|Outcome|Scenario|Experiment|Change|ChangeFeed|ChangeReader|"
    r"HAS_PART|HAS_NEXT_PART|HAD_PART|SIMILAR)\b)"
)
_MADE = re.compile(r"(CONSTRAINT |INDEX )recsvc_(?=\w+ IF NOT EXISTS)")
# Looks at indexes of ours for what speaks: they are not there, and each look would read everything.
_SPEAKING = re.compile(
    r"(?://[^\n]*\n)*CALL \(speaking\) \{.*?\n\}\nWITH speaking, [^\n]*\n"
    r"WITH CASE WHEN NOT all_speak THEN speaking END AS kinds",
    re.DOTALL,
)
_FULL_TEXT = re.compile(
    r"WITH \$words AS words\n  WHERE words <> ''\n"
    r"  CALL db\.index\.fulltext\.queryNodes\(\$index, words, \{limit: 1000\}\) YIELD node\n"
    r"  RETURN node AS (\w+)"
)
_ALL = re.compile("")
_OWNERS = re.compile(
    r"ingest/(?!write_lock|await_indexes)|bulk/|write/(?!try_write)|delete/delete_|schema/|"
    r"extract/without_held_out"
)
"""Queries that change nodes and relationships of the graph's owner."""
_BY_MAPPING = re.compile(
    r"ingest/events$|write/(?:nodes|follows|put_\w+)$|delete/delete_|"
    r"schema/(?:event_|write_lock)"
)
"""Those of them that a mapping may say how to make, and what they need."""


class MappedGraph:
    """The graph of somebody else, and the statements written for it so far.

    Attributes:
        map: how it maps to ours.
        versions: what keeps versions where nothing is written there; None where Neo4j does.
    """

    def __init__(self, graph: GraphMap, versions: DiskVersions | None = None) -> None:
        self.map = graph
        self.versions = versions if graph.writes == "none" else None
        self._texts: dict[str, str] = {}
        self._writes = Writes(graph)

    def statement(self, query: Query) -> LiteralString:
        """The text of a query, as this graph takes it; values stay parameters.

        Raises:
            ForeignGraphError: it changes what belongs to the graph's owner.
        """
        owners = _OWNERS if self.versions is None else _ALL
        by_mapping = self.map.writes == "all" and _BY_MAPPING.match(query.name)
        if query.mode != "read" and owners.match(query.name) and not by_mapping:
            all_ = "" if self.map.writes == "all" else (
                f', or set writes = "all" in [graph], which is {self.map.writes!r}')  # fmt: skip
            raise ForeignGraphError(
                "the graph is somebody else's, which [graph] in recsvc.toml maps: it is read, and "
                "not written. Write to it as its owner does, and what is there counts at once"
                + all_
            )
        if query.text not in self._texts:
            own = self._writes.text(query.name) if by_mapping else None
            self._texts[query.text] = own or mapped_text(self.map, query.text)
        # What the mapping brings is checked: quoted names, and expressions of a closed grammar.
        return cast(LiteralString, self._texts[query.text])

    def check(self, query: Query, parameters: Mapping[str, Any]) -> None:
        """Go on only if the mapping says how to write what a query is given.

        Raises:
            ForeignGraphError: it does not; the message says why.
        """
        if self.map.writes == "all":
            self._writes.check(query.name, parameters)

    def rows_from_disk(self, query: Query, parameters: Mapping[str, Any]) -> list[Row] | None:
        """The rows of a query of versions, where they are kept in a folder; else None.

        Raises:
            OSError: the folder cannot be written or read.
        """
        if self.versions is None or not self.versions.answers(query.name):
            return None
        return self.versions.run(query.name, parameters)


def mapped_text(graph: GraphMap, text: str) -> str:
    """A statement of `cypher/`, as the graph of somebody else takes it."""
    text = _MADE.sub(r"\1recsvc_own_", text)
    if graph.writes != "all":
        text = _OWN.sub(lambda found: PREFIX + found[0], text)
    # The owner may have such nodes, with a `user_id` too.
    text = re.sub(r"(?<=:)(Event|Outcome)\b", rf"{PREFIX}\1", text)
    if not _ONES.search(text):
        return text
    text = _SPEAKING.sub("WITH speaking AS kinds", text)
    text = _FULL_TEXT.sub(_by_part_of_name, text)
    return Writer(graph, text).whole()


def _by_part_of_name(match: re.Match[str]) -> str:
    """What stands for a full-text index of ours: a look at all titles or names."""
    name, key = match[1], "title" if match[1] == "item" else "name"
    return (
        f"MATCH ({name}:{name.capitalize()})\n  WHERE toLower(toStringOrNull({name}.{key})) "
        f"CONTAINS toLower($prefix)\n  RETURN {name}\n  LIMIT 1000"
    )
