"""What tests of the graph's content share."""

from collections.abc import Callable
from typing import Any

import pytest

from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway

Links = dict[tuple[Any, ...], dict[str, Any]]

RELATIONSHIPS = Query(
    "test/relationships",
    "All relationships, with the ids of their ends.",
    "read",
    {},
    {},
    """
    MATCH (a)-[r]->(b)
    RETURN type(r) AS type,
           collect([coalesce(a.user_id, a.item_id, a.category_id),
                    coalesce(b.user_id, b.item_id, b.category_id), properties(r)]) AS all
    """,
)


@pytest.fixture
def relationships(gateway: Neo4jGateway) -> Callable[[str], Links]:
    """Relationships of one type by their ends and, of interactions, event."""

    def read(kind: str) -> Links:
        found = [row["all"] for row in gateway.run(RELATIONSHIPS) if row["type"] == kind]
        return {
            (start, end, link["event"]) if kind == "INTERACTED" else (start, end): link
            for links in found
            for start, end, link in links
        }

    return read
