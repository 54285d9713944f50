// Removes parts that others took the place of, and those that a process wrote that gave no sign of
// life for some time; few parts in a transaction.
// mode: autocommit
// params: milliseconds: int
// returns: dropped: int
MATCH (v:EmbeddingVersion {model: 'hybrid'})-[left:HAD_PART|HAS_NEXT_PART]->(part:SnapshotPart)
WHERE type(left) = 'HAD_PART'
   OR v.rewriting IS NULL OR v.rewriting_at < timestamp() - $milliseconds
CALL (part) { DETACH DELETE part } IN TRANSACTIONS OF 2 ROWS
RETURN count(*) AS dropped
