// What do the people a user follows have that the user has not?
// Empty where the user follows nobody, or has all that those have.
// mode: read
// params: user_id: str, limit: int
// returns: item_id: str, title: str, people: int
MATCH (user:User {user_id: $user_id})-[:FOLLOWS]->(other:User)-[:INTERACTED]->(item:Item)
WITH user, item, count(DISTINCT other) AS people
ORDER BY people DESC, item.item_id
WHERE NOT EXISTS { (user)-[:INTERACTED]->(item) }
RETURN item.item_id AS item_id, item.title AS title, people
LIMIT $limit
