"""Spark, where one machine is not enough: reading the graph by Neo4j's Spark connector.

Needs the extra `recsvc[spark]`, Java and Maven. docs/spark.md says how Spark is told where its
machines are.
"""

from loaders.spark._parts import graph_of_parts
from loaders.spark._session import spark_session
from loaders.spark._tables import extract_with_spark

__all__ = ["extract_with_spark", "graph_of_parts", "spark_session"]
