// The relationships of a range of element ids: type, properties, and of both ends the labels and
// what tells the node from others: its id, or all its properties where it has none.
// mode: read
// params: prefix: str, first: int, last: int
// returns: rows: list[list[any]]
WITH [number IN range($first, $last) | $prefix + toString(number)] AS ids
MATCH (a)-[r]->(b)
WHERE elementId(r) IN ids
RETURN collect([
  type(r), properties(r),
  labels(a), coalesce(a.user_id, a.item_id, a.category_id, properties(a)),
  labels(b), coalesce(b.user_id, b.item_id, b.category_id, properties(b))
]) AS rows
