// What followed answers to a user, a page at a time: those after the one that the page before ended
// with.
// mode: read
// params: user_id: str, after: str, limit: int
// returns: inside: str, ids: map, properties: list[list[any]]
MATCH (o:Outcome {user_id: $user_id})
WITH elementId(o) AS inside, o
WHERE inside > $after
ORDER BY inside
LIMIT $limit
RETURN inside, {outcome_id: o.outcome_id, item_id: o.item_id} AS ids,
       [name IN keys(o) WHERE name <> 'user_id' | [name, o[name]]] AS properties
