// Removes all SIMILAR.
// mode: autocommit
// returns: dropped: int
MATCH ()-[r:SIMILAR]->()
CALL (r) { DELETE r } IN TRANSACTIONS OF 10000 ROWS
RETURN count(*) AS dropped
