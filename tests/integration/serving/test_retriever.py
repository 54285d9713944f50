"""Recommendations as a retriever of neo4j-graphrag, from a real service."""

import neo4j
import pytest

from recsvc.client import Client, ServiceError
from recsvc.retriever import RecommendationsRetriever
from tests.conftest import Served, Service

pytestmark = pytest.mark.neo4j


def test_each_item_comes_with_its_sentence_and_the_terms_behind_it(
    service: Service, served: Served
) -> None:
    told = service.client.get("/v1/users/u4/recommendations", params={"k": 3}).json()
    address = served.address
    with (
        neo4j.GraphDatabase.driver(address.uri, auth=address.auth) as driver,
        Client(str(service.client.base_url)) as client,
    ):
        retriever = RecommendationsRetriever(driver, client)
        retrieved = retriever.search(query_text="What may I like?", user_id="u4", top_k=3)
        assert len(retrieved.items) == 3
        for item, listed in zip(retrieved.items, told["items"], strict=True):
            metadata = item.metadata or {}
            assert metadata["item_id"] == listed["item_id"]
            assert item.content.endswith(listed["explanation"]["text"])
            explanation = metadata["explanation"]
            parts = [each["value"] for each in explanation["contributions"]]
            assert sum(parts) + explanation["remainder"] == pytest.approx(metadata["score"])
        assert retrieved.metadata
        assert retrieved.metadata["versions"] == told["versions"]
        tool = retriever.convert_to_tool("recommend", "What a user is recommended.")
        assert len(tool.execute(user_id="u4", top_k=2).items) == 2
        with pytest.raises(ValueError, match="1 to 50"):
            retriever.search(user_id="u4", top_k=51)
        with pytest.raises(ServiceError, match="no user 'nobody'"):
            retriever.search(user_id="nobody")
