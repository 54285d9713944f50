// Which of some items exist and are available now.
// mode: read
// params: item_ids: list[str]
// returns: item_ids: list[str]
MATCH (item:Item)
WHERE item.item_id IN $item_ids AND coalesce(item.available, true)
RETURN collect(item.item_id) AS item_ids
