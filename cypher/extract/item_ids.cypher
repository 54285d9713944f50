// The next nodes labelled Item, in the database's own order: their ids and what the database calls
// them inside. Those made at `until` or later are left out.
// mode: read
// params: after: str, limit: int, until: datetime
// returns: ids: list[str], nodes: list[int]
MATCH (n:Item)
WHERE n.item_id > $after AND coalesce(n.created_at < $until, true)
WITH n
ORDER BY n.item_id
LIMIT $limit
RETURN collect(n.item_id) AS ids, collect(id(n)) AS nodes
