// A user's entries in the ledger of events, a page at a time: those after the one that the page
// before ended with.
// mode: read
// params: user_id: str, after: str, limit: int
// returns: inside: str, ids: map, properties: list[list[any]]
MATCH (entry:Event {user_id: $user_id})
WITH elementId(entry) AS inside, entry
WHERE inside > $after
ORDER BY inside
LIMIT $limit
RETURN inside, {event_id: entry.event_id, item_id: entry.item_id} AS ids,
       [name IN keys(entry) WHERE name <> 'user_id' | [name, entry[name]]] AS properties
