"""Recommendations as what a question to a language model is answered from, for neo4j-graphrag."""

from typing import Any, Final

import neo4j
from neo4j_graphrag.retrievers.base import Retriever
from neo4j_graphrag.types import RawSearchResult, RetrieverResultItem

from recsvc.client import Client, recommend

_MOST: Final = 50


class RecommendationsRetriever(Retriever):
    """Retrieves what a user is recommended, each item with its sentence and the terms behind it.

    Args:
        driver: of the Neo4j that the service is on; it stands beside other retrievers.
        client: asks the service.
        neo4j_database: the database, where it is not the user's own.
    """

    def __init__(
        self, driver: neo4j.Driver, client: Client, neo4j_database: str | None = None
    ) -> None:
        super().__init__(driver, neo4j_database)
        self._client = client
        self.result_formatter = _item

    def get_search_results(
        self, user_id: str, top_k: int = 5, query_text: str | None = None
    ) -> RawSearchResult:
        """The best items for a user.

        Args:
            user_id: the user.
            top_k: how many items, from 1 to 50.
            query_text: the question, which changes nothing: the list is that of the user.

        Raises:
            ValueError: `top_k` is not from 1 to 50.
            ServiceError: there is no such user, or the service refused it.
        """
        del query_text
        if not 1 <= top_k <= _MOST:
            raise ValueError(f"top_k is {top_k}: expected 1 to {_MOST}")
        answer = self._client.send(recommend(user_id, k=top_k))
        return RawSearchResult(
            records=[neo4j.Record(item.model_dump()) for item in answer.items],
            metadata={"recommendation_id": answer.recommendation_id, "versions": answer.versions},
        )


def _item(record: neo4j.Record) -> RetrieverResultItem:
    """An item as a language model reads it, and what its sentence rests on."""
    item: dict[str, Any] = record.data()
    said = item["explanation"] or {"text": ""}
    content = f"{item['rank']}. {item['title'] or item['item_id']}: {said['text']}"
    return RetrieverResultItem(content=content, metadata=item)
