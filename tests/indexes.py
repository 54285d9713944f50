"""Constraints and indexes, made before they are wanted."""

import re
from collections.abc import Iterable

from loaders.catalogue import Query, catalogue
from loaders.embedding_models import EMBEDDING_MODELS
from loaders.gateway import Neo4jGateway

USUAL_MODELS = ("fastrp", "lightgcn", "mf", "node2vec")
"""Models with vectors that many tests fit."""


def named(query: Query) -> set[str]:
    """What a query has between brackets in its name, such as a model and a slot."""
    return {*re.findall(r"\w+", query.name.partition("[")[2])}


def make_indexes(gateway: Neo4jGateway, models: Iterable[str] = USUAL_MODELS) -> None:
    """Make all constraints, and all indexes but those of models that few tests fit.

    Whenever one is made, Neo4j forgets all its plans. Without this the first refresh with a model
    or slot would have every query planned again, which takes longer than the refresh. But each
    index takes its time, and more with whatever is written.

    Args:
        gateway: the database.
        models: whose vectors are indexed.
    """
    others = {*EMBEDDING_MODELS} - {*models}
    for query in catalogue().values():
        if query.mode == "schema" and not others & named(query):
            gateway.run(query)
    gateway.run(catalogue()["ingest/await_indexes"])
