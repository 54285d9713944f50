// Removes what makes events count once from the graph of somebody else.
// mode: autocommit
// returns: dropped: int
MATCH (n:Event)
CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS
RETURN count(*) AS dropped
