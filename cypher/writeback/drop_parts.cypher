// Removes the stored arrays of all versions of the blend but the active one and those that were
// active last; few parts in a transaction, as `writeback/clear_parts` does.
// mode: autocommit
// params: keep: int
// returns: dropped: int
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WHERE v.status IN ['active', 'retired', 'ready', 'failed']
WITH v ORDER BY v.status = 'active' DESC, v.status = 'failed', v.activation DESC, v.version DESC
SKIP $keep
MATCH (v)-[:HAS_PART|HAS_NEXT_PART|HAD_PART]->(part:SnapshotPart)
CALL (part) { DETACH DELETE part } IN TRANSACTIONS OF 2 ROWS
RETURN count(*) AS dropped
