"""The first load of an empty graph, by `neo4j-admin database import`.

Tables become CSV files, each node and relationship once and whole, and Neo4j's importer makes a
database of them while the server is stopped. The graph that comes out is the one that
`loaders.ingest` makes of the same tables; a test compares them.
"""

from loaders.ingest.bulk._bulk import bulk_ingest, forget_files

__all__ = ["bulk_ingest", "forget_files"]
