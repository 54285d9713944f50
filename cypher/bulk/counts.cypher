// How many nodes and relationships there are, without the node that writers lock.
// mode: read
// returns: nodes: int, relationships: int
MATCH (n)
WHERE NOT n:WriteLock
WITH count(n) AS nodes
OPTIONAL MATCH ()-[r]->()
RETURN nodes, count(r) AS relationships
