// Which items are shown most and never acted on?
// Items with outcomes `impression` in the last `days` days and none of another kind. Empty where
// nothing was shown, or each of them was acted on.
// mode: read
// params: days: int, limit: int
// returns: item_id: str, title: str, shown: int, users: int
MATCH (o:Outcome)
WHERE o.at >= datetime() - duration({days: $days})
WITH o.item_id AS item_id, count(*) AS shown, count(DISTINCT o.user_id) AS users,
     collect(DISTINCT o.kind) AS kinds
WHERE kinds = ['impression']
ORDER BY shown DESC, item_id
LIMIT $limit
MATCH (item:Item {item_id: item_id})
RETURN item.item_id AS item_id, item.title AS title, shown, users
ORDER BY shown DESC, item_id
