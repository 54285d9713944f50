// Ids of the next nodes labelled Item, in the database's own order.
// mode: read
// params: after: str, limit: int
// returns: ids: list[str]
MATCH (n:Item)
WHERE n.item_id > $after
WITH n.item_id AS id
ORDER BY id
LIMIT $limit
RETURN collect(id) AS ids
