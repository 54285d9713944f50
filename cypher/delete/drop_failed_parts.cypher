// Removes the stored arrays of refreshes that failed, which nothing is served from; few parts in a
// transaction, as `writeback/clear_parts` does.
// mode: autocommit
// returns: dropped: int
MATCH (:EmbeddingVersion {model: 'hybrid', status: 'failed'})
      -[:HAS_PART|HAS_NEXT_PART|HAD_PART]->(part:SnapshotPart)
CALL (part) { DETACH DELETE part } IN TRANSACTIONS OF 2 ROWS
RETURN count(*) AS dropped
