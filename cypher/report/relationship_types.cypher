// Relationships by type, the most frequent types first.
// mode: read
// params: limit: int
// returns: name: str, total: int
MATCH ()-[r]->()
RETURN type(r) AS name, count(*) AS total
ORDER BY total DESC, name
LIMIT $limit
