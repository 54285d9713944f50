// How many nodes have a label, by Neo4j's own count. User stands for the label: a count of any other
// form reads every node.
// mode: read
// returns: count: int
MATCH (n:User)
RETURN count(n) AS count
