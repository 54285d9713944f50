// Which categories go together?
// Pairs with at least `least_items` items in common; `jaccard` is the share of the items of either
// that are in both.
// mode: read
// params: least_items: int, limit: int
// returns: category_id: str, name: str, other_id: str, other_name: str, items: int, jaccard: float
MATCH (one:Category)
WHERE COUNT { (one)<-[:IN_CATEGORY]-() } >= $least_items
MATCH (one)<-[:IN_CATEGORY]-(item:Item)
WITH one, item
ORDER BY one.category_id
WITH item, collect(one) AS known
UNWIND range(0, size(known) - 2) AS first
UNWIND known[first + 1..] AS two
WITH known[first] AS one, two, count(*) AS items
WHERE items >= $least_items
WITH one, two, items, 1.0 * items / (COUNT { (one)<-[:IN_CATEGORY]-() }
                                     + COUNT { (two)<-[:IN_CATEGORY]-() } - items) AS jaccard
ORDER BY jaccard DESC, one.category_id, two.category_id
LIMIT $limit
RETURN one.category_id AS category_id, one.name AS name, two.category_id AS other_id,
       two.name AS other_name, items, jaccard
