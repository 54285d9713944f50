// The categories that a user prefers, a page at a time: those after the one that the page before
// ended with.
// mode: read
// params: user_id: str, after: str, limit: int
// returns: inside: str, ids: map, properties: list[list[any]]
MATCH (user:User {user_id: $user_id})-[r:PREFERS]->(category:Category)
WITH elementId(r) AS inside, r, category
WHERE inside > $after
ORDER BY inside
LIMIT $limit
RETURN inside, {category_id: category.category_id, name: category.name, weight: r.weight} AS ids,
       [name IN keys(r) | [name, r[name]]] AS properties
