"""Tables into the graph: over Bolt, in small transactions, or by Neo4j's importer (`bulk`)."""

from loaders.ingest._ingest import (
    NODES,
    IngestReport,
    Progress,
    TableReport,
    check,
    ingest,
)

__all__ = ["NODES", "IngestReport", "Progress", "TableReport", "check", "ingest"]
