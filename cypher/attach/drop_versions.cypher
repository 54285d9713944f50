// Removes all nodes of ours from the graph of somebody else, few in a transaction.
// mode: autocommit
// returns: dropped: int
MATCH (n:EmbeddingVersion|SnapshotPart|RefreshLease|WriteLock|Deletion|Scenario|Experiment)
CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 2 ROWS
RETURN count(*) AS dropped
