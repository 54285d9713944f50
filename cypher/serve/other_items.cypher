// Items that may be recommended now and are not among some others: in one of some categories, or
// anywhere where none is named.
// mode: read
// params: others: list[str], category_ids: list[str], limit: int
// returns: item_id: str, title: str
CALL () {
  MATCH (category:Category)<-[:IN_CATEGORY]-(item:Item)
  WHERE category.category_id IN $category_ids
  RETURN item
  UNION
  MATCH (item:Item)
  WHERE size($category_ids) = 0
  RETURN item
}
WITH item
WHERE coalesce(item.available, true) = true AND item.item_id IS :: STRING NOT NULL
  AND NOT item.item_id IN $others
RETURN item.item_id AS item_id, nullIf(toStringOrNull(item.title), 'NaN') AS title
ORDER BY item_id
LIMIT $limit
