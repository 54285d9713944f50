// Who follows a user, a page at a time: those after the one that the page before ended with. Their
// names are theirs.
// mode: read
// params: user_id: str, after: str, limit: int
// returns: inside: str, ids: map, properties: list[list[any]]
MATCH (other:User)-[r:FOLLOWS]->(user:User {user_id: $user_id})
WITH elementId(r) AS inside, r, other
WHERE inside > $after
ORDER BY inside
LIMIT $limit
RETURN inside, {user_id: other.user_id} AS ids, [name IN keys(r) | [name, r[name]]] AS properties
