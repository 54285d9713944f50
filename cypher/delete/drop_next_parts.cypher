// Removes what was written for a version and not taken, for the process that has it; few parts in
// a transaction.
// mode: autocommit
// params: version: int, token: str
// returns: dropped: int
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version})-[:HAS_NEXT_PART]->(part:SnapshotPart)
WHERE v.rewriting = $token
CALL (part) { DETACH DELETE part } IN TRANSACTIONS OF 2 ROWS
RETURN count(*) AS dropped
