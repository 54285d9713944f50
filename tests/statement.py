"""Statements of tests, as a person runs them by hand."""

from typing import Any

from loaders.catalogue import Query
from loaders.gateway import Neo4jGateway


def statement(gateway: Neo4jGateway, text: str, **parameters: Any) -> list[dict[str, Any]]:
    """The rows of a statement, run on its own."""
    types = dict.fromkeys(parameters, "any")
    return gateway.run(Query("tests/any", "", "autocommit", types, {}, text), **parameters)  # pyright: ignore[reportArgumentType] (the text is put together)
