// Removes the stored arrays of all versions of the blend but the active one and those that were
// active last.
// mode: write
// params: keep: int
// returns: dropped: int
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WHERE v.status IN ['active', 'retired', 'ready', 'failed']
WITH v ORDER BY v.status = 'active' DESC, v.status = 'failed', v.activation DESC, v.version DESC
SKIP $keep
MATCH (v)-[:HAS_PART]->(part:SnapshotPart)
DETACH DELETE part
RETURN count(*) AS dropped
