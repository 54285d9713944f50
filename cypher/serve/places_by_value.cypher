// How many items have each value of a property, and how many places these have; '' stands for no
// value that can be read. `places` has the number of an item by its id.
// mode: read
// params: property: str, places: map, limit: int
// returns: value: str, items: int, places: int
MATCH (item:Item)
WHERE item.item_id IS :: STRING NOT NULL
WITH coalesce(nullIf(toStringOrNull(item[$property]), 'NaN'), '') AS value,
     coalesce($places[item.item_id], 0) AS places
WITH value, count(*) AS items, sum(places) AS places
ORDER BY items DESC, value
LIMIT $limit
RETURN value, items, places
