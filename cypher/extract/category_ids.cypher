// The next nodes labelled Category, in the database's own order: their ids and what the database
// calls them inside.
// mode: read
// params: after: str, limit: int
// returns: ids: list[str], nodes: list[int]
MATCH (n:Category)
WHERE n.category_id > $after
WITH n
ORDER BY n.category_id
LIMIT $limit
RETURN collect(n.category_id) AS ids, collect(id(n)) AS nodes
