// What does a user's part of the graph look like?
// Paths to draw: what they do most, and who of those they follow does it too.
// mode: read
// params: user_id: str, limit: int
// returns: did: path, follows: path
MATCH did = (user:User {user_id: $user_id})-[most:INTERACTED]->(item:Item)
WITH user, did, item, most
ORDER BY most.weight DESC, item.item_id
LIMIT $limit
OPTIONAL MATCH follows = (user)-[:FOLLOWS]->(:User)-[:INTERACTED]->(item)
WITH did, collect(follows)[..3] AS some
UNWIND CASE WHEN some = [] THEN [null] ELSE some END AS follows
RETURN did, follows
