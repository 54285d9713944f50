"""Constraints and indexes in the graph of somebody else, for a user who may not make any."""

from typing import Any, NoReturn, cast

import pytest
from neo4j import exceptions as driver_errors

from loaders.catalogue import Query, catalogue
from loaders.driver_errors import translated_errors
from loaders.errors import Neo4jServerError
from loaders.gateway import Gateway, Row
from loaders.schema import apply_schema, make_vector_index
from tests.mappings import MOVIES


class NoRights:
    """A gateway whose user may read."""

    graph = MOVIES.model_copy(update={"writes": "all"})

    def run(self, query: Query, **_parameters: Any) -> list[Row]:
        return self._refused(query) if query.mode == "schema" else []

    @staticmethod
    def _refused(query: Query) -> NoReturn:
        with translated_errors("bolt://there", query):
            raise driver_errors.Neo4jError._basic_hydrate(
                neo4j_code="Neo.ClientError.Security.Forbidden",
                message="Schema operation 'create_constraint' is not allowed for user 'reader'.",
            )
        raise AssertionError


GATEWAY = cast(Gateway, NoRights())


def test_vectors_are_written_without_an_index():
    make_vector_index(GATEWAY, catalogue()["writeback/item_vector_index[lightgcn,a]"])


def test_events_are_not_written_where_nothing_keeps_them_apart():
    with pytest.raises(Neo4jServerError, match=r'is not allowed for user.*writes = "none"'):
        apply_schema(GATEWAY)
