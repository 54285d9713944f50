// Which categories go together?
// Pairs with at least `least_items` items in common, of one kind or of two; `jaccard` is the share
// of the items of either that are in both. Empty where no item is in two categories.
// mode: read
// params: least_items: int, limit: int
// returns: category_id: str, name: str, kind: str, other_id: str, other_name: str,
//   other_kind: str, items: int, jaccard: float
MATCH (item:Item)-[:IN_CATEGORY]->(category:Category)
WITH DISTINCT category, item
WITH category, collect(item) AS members
WHERE size(members) >= $least_items
ORDER BY category.category_id
UNWIND members AS item
WITH item, collect({category: category, size: size(members)}) AS known
UNWIND range(0, size(known) - 2) AS first
UNWIND known[first + 1..] AS two
WITH known[first] AS one, two, count(*) AS items
WHERE items >= $least_items
WITH one.category AS one, two.category AS two, items,
     1.0 * items / (one.size + two.size - items) AS jaccard
ORDER BY jaccard DESC, one.category_id, two.category_id
LIMIT $limit
RETURN one.category_id AS category_id, one.name AS name, one.kind AS kind,
       two.category_id AS other_id, two.name AS other_name, two.kind AS other_kind,
       items, jaccard
