// Ids of the next nodes labelled User, in the database's own order.
// mode: read
// params: after: str, limit: int
// returns: ids: list[str]
MATCH (n:User)
WHERE n.user_id > $after
WITH n.user_id AS id
ORDER BY id
LIMIT $limit
RETURN collect(id) AS ids
