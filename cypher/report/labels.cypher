// Nodes by label, the most frequent labels first.
// mode: read
// params: limit: int
// returns: name: str, total: int
MATCH (n)
UNWIND labels(n) AS name
RETURN name, count(*) AS total
ORDER BY total DESC, name
LIMIT $limit
