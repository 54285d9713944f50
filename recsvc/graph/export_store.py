"""What is known of one user, read a page at a time."""

from collections.abc import AsyncIterator
from typing import Any, Final, Literal

from loaders.catalogue import catalogue
from loaders.gateway import Row
from recsvc.evaluation.splits import id_numbers
from recsvc.graph.json_values import json_value
from recsvc.graph.transport import Transport

Section = Literal["interactions", "follows", "followers", "preferences", "events", "outcomes"]
OURS: Final[frozenset[Section]] = frozenset({"events", "outcomes"})
"""Sections that the graph of somebody else does not have."""
_PAGE: Final = 2_000


class ExportStore(Transport):
    """Reads all that the graph has of a user."""

    async def section(self, user_id: str, section: Section) -> AsyncIterator[list[dict[str, Any]]]:
        """One kind of what is known of a user, as JSON-ready values, page by page.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        if self.address.graph is not None and section in OURS:
            return
        query, after = catalogue()[f"export/{section}"], ""
        while True:
            rows = await self._run(query, user_id=user_id, after=after, limit=_PAGE)
            yield [_plain(row) for row in rows]
            if len(rows) < _PAGE:
                return
            after = rows[-1]["inside"]

    async def vectors(self, user_id: str) -> list[Row]:
        """The vectors of a user: model, version (null where it is gone), numbers.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        rows = await self._run(catalogue()["export/vectors"], user_id=user_id)
        return [row | {"vector": json_value(row["vector"])} for row in rows]

    async def measured(self, user_id: str) -> list[Row]:
        """How good versions of the blend were for a user: version and NDCG.

        Raises:
            Neo4jError: the graph cannot be read in time.
        """
        number = int(id_numbers([user_id])[0])
        return await self._run(catalogue()["export/measured"], number=number)


def _plain(row: Row) -> dict[str, Any]:
    """What is known by name; what an id says stands above a property of the same name."""
    values = dict(row["properties"])
    if values.get("inside") == row["inside"]:  # what a mapped path has in a relationship's place
        del values["inside"]
    values |= {k: v for k, v in row["ids"].items() if v is not None}
    return {name: json_value(value) for name, value in sorted(values.items())}
