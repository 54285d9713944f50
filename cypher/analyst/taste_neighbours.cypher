// Who has a taste like this user's, counted by items?
// Empty where nobody else has an item of the user's.
// mode: read
// params: user_id: str, limit: int
// returns: user_id: str, name: str, shared: int, jaccard: float, followed: bool
MATCH (user:User {user_id: $user_id})
WITH user, COUNT { MATCH (user)-[:INTERACTED]->(item) RETURN DISTINCT item } AS own
MATCH (user)-[:INTERACTED]->(item:Item)<-[:INTERACTED]-(other:User)
WHERE other <> user
WITH user, own, other, count(DISTINCT item) AS shared
WITH user, other, shared, 1.0 * shared / (own - shared +
     COUNT { MATCH (other)-[:INTERACTED]->(item) RETURN DISTINCT item }) AS jaccard
ORDER BY jaccard DESC, other.user_id
LIMIT $limit
RETURN other.user_id AS user_id, other.name AS name, shared, jaccard,
       EXISTS { (user)-[:FOLLOWS]->(other) } AS followed
