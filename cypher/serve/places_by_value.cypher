// How many items have each value of a property, of which the first 100 characters count, and how many places these
// have; '' stands for no value that can be read. What does not say whether it is available is. `places` has the number
// of an item by its id.
// mode: read
// params: property: str, places: map, limit: int
// returns: value: str, items: int, places: int
MATCH (item:Item)
WHERE item.item_id IS :: STRING NOT NULL
WITH item, CASE $property WHEN 'available' THEN coalesce(item.available, true) = true ELSE item[$property] END AS value
WITH left(coalesce(nullIf(toStringOrNull(value), 'NaN'), ''), 100) AS value,
     coalesce($places[item.item_id], 0) AS places
WITH value, count(*) AS items, sum(places) AS places
ORDER BY items DESC, value
LIMIT $limit
RETURN value, items, places
