"""The arrays of one version: in memory, on disk, in Neo4j; activation and deletion."""
