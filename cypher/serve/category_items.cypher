// What a filter by categories means now: those named that exist, with all below them, ten levels
// at most, and the items of all these. No more than `limit` items are returned, whatever there is.
// mode: read
// params: category_ids: list[str], limit: int
// returns: known: list[str], category_ids: list[str], item_ids: list[str]
CALL () {
  MATCH (category:Category)
  WHERE category.category_id IN $category_ids
  RETURN collect(category) AS named
}
CALL (named) {
  UNWIND named AS category
  MATCH (category)<-[:SUBCATEGORY_OF*0..10]-(below:Category)
  RETURN collect(DISTINCT below) AS scope
}
CALL (scope) {
  UNWIND scope AS category
  MATCH (category)<-[:IN_CATEGORY]-(item:Item)
  WITH DISTINCT item
  WHERE item.item_id IS :: STRING NOT NULL
  LIMIT $limit
  RETURN collect(item.item_id) AS item_ids
}
RETURN [category IN named | category.category_id] AS known,
       [category IN scope WHERE category.category_id IS :: STRING NOT NULL | category.category_id]
         AS category_ids,
       item_ids
