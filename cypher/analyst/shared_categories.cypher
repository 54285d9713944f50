// What do two items have in common?
// Categories that both are linked to, the rarest first. Empty where they share no category.
// mode: read
// params: item_id: str, other_item_id: str, limit: int
// returns: category_id: str, name: str, kind: str, items: int
MATCH (one:Item {item_id: $item_id})
MATCH (two:Item {item_id: $other_item_id})
MATCH (one)-[:IN_CATEGORY]->(category:Category)
WHERE EXISTS { (two)-[:IN_CATEGORY]->(category) }
WITH DISTINCT category
WITH category, COUNT { MATCH (category)<-[:IN_CATEGORY]-(item) RETURN DISTINCT item } AS items
ORDER BY items, category.category_id
LIMIT $limit
RETURN category.category_id AS category_id, category.name AS name, category.kind AS kind, items
