// How many items there are, which Neo4j keeps count of.
// mode: read
// returns: items: int
MATCH (item:Item)
RETURN count(item) AS items
