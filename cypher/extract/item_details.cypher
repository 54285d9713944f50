// What answers show of some items.
// mode: read
// params: ids: list[str]
// returns: ids: list[str], titles: list[str], available: list[bool]
MATCH (item:Item)
WHERE item.item_id IN $ids
RETURN collect(item.item_id) AS ids,
       collect(coalesce(nullIf(toStringOrNull(item.title), 'NaN'), '')) AS titles,
       collect(coalesce(item.available, true) = true) AS available
