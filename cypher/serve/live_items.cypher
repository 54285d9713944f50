// Some items as they are now: title, whether they are available, and whether they are in one of
// some categories. `unread` names, by the database's own id, what cannot be read.
// mode: read
// params: item_ids: list[str], category_ids: list[str]
// returns: items: list[list[any]], unread: list[list[str]]
MATCH (item:Item)
WHERE item.item_id IN $item_ids
RETURN
  collect([item.item_id, nullIf(toStringOrNull(item.title), 'NaN'),
           coalesce(item.available, true) = true,
           EXISTS {
             (item)-[:IN_CATEGORY]->(category:Category)
             WHERE size($category_ids) > 0 AND category.category_id IN $category_ids
           }]) AS items,
  collect(CASE WHEN NOT item.available IS :: BOOLEAN THEN ['Item.available', elementId(item)] END)
  + collect(CASE WHEN item.title IS NOT NULL AND toStringOrNull(item.title) IS NULL
              THEN ['Item.title', elementId(item)] END) AS unread
