// The ids of items whose inside ids are in a range, as a table.
// mode: read
// params: scriptResult: list[map]
// returns: item_id: str
MATCH (n:Item)
WHERE $scriptResult[0].low <= id(n) < $scriptResult[0].high AND n.item_id > ''
RETURN n.item_id AS item_id
