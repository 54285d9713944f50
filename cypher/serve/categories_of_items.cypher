// The named categories that some items are in, each with those of the items.
// mode: read
// params: item_ids: list[str]
// returns: category_id: str, name: str, item_ids: list[str]
MATCH (item:Item)-[:IN_CATEGORY]->(category:Category)
WHERE item.item_id IN $item_ids AND category.category_id IS :: STRING NOT NULL
WITH category, nullIf(toStringOrNull(category.name), 'NaN') AS name, collect(DISTINCT item.item_id) AS item_ids
WHERE name IS NOT NULL
RETURN category.category_id AS category_id, name, item_ids
