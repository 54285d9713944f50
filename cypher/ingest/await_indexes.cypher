// Waits until every index can be used, at most five minutes: of a cluster, where writes are made.
// mode: autocommit
CALL db.awaitIndexes(300)
