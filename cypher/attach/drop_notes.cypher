// Removes what makes events count once, or outcomes, from the graph of somebody else.
// mode: autocommit
// each: label = Event | Outcome
// returns: dropped: int
MATCH (n:<<label>>)
CALL (n) { DETACH DELETE n } IN TRANSACTIONS OF 10000 ROWS
RETURN count(*) AS dropped
