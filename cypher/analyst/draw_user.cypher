// What does a user's part of the graph look like?
// Paths to draw: the items with the highest sum of weights over all kinds of events, one path
// each, and up to three of those they follow who have it too. Empty where the user did nothing.
// mode: read
// params: user_id: str, limit: int
// returns: did: path, follows: path
MATCH (user:User {user_id: $user_id})-[did:INTERACTED]->(item:Item)
WITH user, item, sum(CASE WHEN -1e6 <= coalesce(did.weight, 1.0) <= 1e6
                       THEN toFloat(coalesce(did.weight, 1.0)) ELSE 0.0 END) AS weight
ORDER BY weight DESC, item.item_id
LIMIT $limit
CALL (user, item) {
  MATCH did = (user)-[most:INTERACTED]->(item)
  RETURN did
  ORDER BY most.weight DESC, most.event
  LIMIT 1
}
CALL (user, item) {
  MATCH (user)-[:FOLLOWS]->(other:User)-[:INTERACTED]->(item)
  WITH DISTINCT user, item, other
  ORDER BY other.user_id
  LIMIT 3
  CALL (user, item, other) {
    MATCH path = (user)-[:FOLLOWS]->(other)-[most:INTERACTED]->(item)
    RETURN path
    ORDER BY most.weight DESC, most.event
    LIMIT 1
  }
  RETURN collect(path) AS some
}
UNWIND CASE WHEN some = [] THEN [null] ELSE some END AS follows
RETURN did, follows
