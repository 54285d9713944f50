// Removes the stored arrays of a version of the blend that is to be written again, few parts in a
// transaction: what a transaction removes is in the memory of Neo4j until it ends.
// mode: autocommit
// params: version: int
// returns: dropped: int
MATCH (:EmbeddingVersion {model: 'hybrid', version: $version, status: 'building'})
      -[:HAS_PART]->(part:SnapshotPart)
CALL (part) { DETACH DELETE part } IN TRANSACTIONS OF 2 ROWS
RETURN count(*) AS dropped
