// Waits until every index can be used, at most five minutes.
// mode: read
CALL db.awaitIndexes(300)
