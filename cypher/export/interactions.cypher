// What a user did, a page at a time: those after the one that the page before ended with.
// mode: read
// params: user_id: str, after: str, limit: int
// returns: inside: str, ids: map, properties: list[list[any]]
MATCH (user:User {user_id: $user_id})-[r:INTERACTED]->(item:Item)
WITH elementId(r) AS inside, r, item
WHERE inside > $after
ORDER BY inside
LIMIT $limit
RETURN inside, {item_id: item.item_id, title: item.title, event: r.event, weight: r.weight,
                last_at: r.last_at} AS ids,
       [name IN keys(r) | [name, r[name]]] AS properties
