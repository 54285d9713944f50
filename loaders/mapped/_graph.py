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

_ONES = re.compile(rf":(?:User|Item|Category|{'|'.join(LINKED)})\b")
_OWN = re.compile(
    r"\b(?:(?:user_|item_)?embedding_|(?:EmbeddingVersion|SnapshotPart|RefreshLease|WriteLock|"
    r"Deletion|Event|Outcome|HAS_PART|HAS_NEXT_PART|HAD_PART|SIMILAR)\b)"
)
_MADE = re.compile(r"(?<=CONSTRAINT )recsvc_(?=\w+ IF NOT EXISTS)")
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

    def statement(self, query: Query) -> LiteralString:
        """The text of a query, as this graph takes it; values stay parameters.

        Raises:
            ForeignGraphError: it changes what belongs to the graph's owner.
        """
        owners = _OWNERS if self.versions is None else _ALL
        if query.mode != "read" and owners.match(query.name):
            raise ForeignGraphError(
                "the graph is somebody else's, which [graph] in recsvc.toml maps: it is read, and "
                "not written. Write to it as its owner does: what is there counts at once"
            )
        if query.text not in self._texts:
            self._texts[query.text] = mapped_text(self.map, query.text)
        # What the mapping brings is checked: quoted names, and expressions of a closed grammar.
        return cast(LiteralString, self._texts[query.text])

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
    if graph.writes != "all":
        text = _MADE.sub("recsvc_own_", text)
        text = _OWN.sub(lambda found: PREFIX + found[0], text)
    if not _ONES.search(text):
        return text
    text = _SPEAKING.sub("WITH speaking AS kinds", text)
    text = _FULL_TEXT.sub(_by_part_of_name, text)
    return Writer(graph, text).whole()


def _by_part_of_name(found: re.Match[str]) -> str:
    """What stands for a full-text index of ours: a look at all titles or names."""
    name, key = found[1], "title" if found[1] == "item" else "name"
    return (
        f"MATCH ({name}:{name.capitalize()})\n  WHERE toLower(toStringOrNull({name}.{key})) "
        f"CONTAINS toLower($prefix)\n  RETURN {name}\n  LIMIT 1000"
    )
