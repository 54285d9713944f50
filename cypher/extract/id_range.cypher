// From where to where the inside ids of the nodes of a label go; nothing where there are none.
// mode: read
// each: label = User | Item | Category
// returns: low: int, high: int
MATCH (n:<<label>>)
RETURN min(id(n)) AS low, max(id(n)) + 1 AS high
