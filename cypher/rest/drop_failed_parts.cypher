// Removes the stored arrays of refreshes that failed, which nothing is served from.
// mode: write
// returns: dropped: int
MATCH (:EmbeddingVersion {model: 'hybrid', status: 'failed'})-[:HAS_PART]->(part:SnapshotPart)
DETACH DELETE part
RETURN count(*) AS dropped
