// How many items a list may be drawn from, in one of some categories, or anywhere where none is
// named: all of them, and of these those that are not available, and of the available ones those
// among `seen`, and of the others those among `excluded`.
// mode: read
// params: category_ids: list[str], seen: list[str], excluded: list[str]
// returns: items: int, unavailable: int, seen: int, excluded: int
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
WHERE item.item_id IS :: STRING NOT NULL
WITH coalesce(item.available, true) = true AS available,
     item.item_id IN $seen AS seen, item.item_id IN $excluded AS excluded
RETURN count(*) AS items,
       count(CASE WHEN NOT available THEN 1 END) AS unavailable,
       count(CASE WHEN available AND seen THEN 1 END) AS seen,
       count(CASE WHEN available AND excluded AND NOT seen THEN 1 END) AS excluded
