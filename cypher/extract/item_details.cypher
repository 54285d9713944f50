// What answers show of a range of items.
// mode: read
// params: first: str, last: str
// returns: ids: list[str], titles: list[str], available: list[bool]
MATCH (item:Item)
WHERE $first <= item.item_id <= $last
RETURN collect(item.item_id) AS ids, collect(toString(coalesce(item.title, ''))) AS titles,
       collect(coalesce(item.available, true)) AS available
