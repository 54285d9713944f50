// Ids of the next nodes labelled Category, in the database's own order.
// mode: read
// params: after: str, limit: int
// returns: ids: list[str]
MATCH (n:Category)
WHERE n.category_id > $after
WITH n.category_id AS id
ORDER BY id
LIMIT $limit
RETURN collect(id) AS ids
