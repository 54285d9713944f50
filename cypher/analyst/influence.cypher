// Whose followers have taken over most of their taste?
// Of those with the most followers: the mean share of their items that a follower has too. Empty
// where nobody follows anybody.
// mode: read
// params: most_followed: int, limit: int
// returns: user_id: str, name: str, followers: int, items: int, shared: float
MATCH (user:User)
WITH user, COUNT { (user)<-[:FOLLOWS]-() } AS followers
WHERE followers > 0
ORDER BY followers DESC, user.user_id
LIMIT $most_followed
CALL (user) {
  // Joined from both ends: without the hint each item's people are looked through in turn.
  MATCH (user)-[:INTERACTED]->(item:Item)<-[:INTERACTED]-(follower:User)-[:FOLLOWS]->(user)
  USING JOIN ON item
  WITH DISTINCT item, follower
  RETURN count(*) AS pairs
}
WITH user, followers, pairs,
     COUNT { MATCH (user)-[:INTERACTED]->(item) RETURN DISTINCT item } AS items
WHERE items > 0
WITH user, followers, items, toFloat(pairs) / followers / items AS shared
ORDER BY shared DESC, user.user_id
LIMIT $limit
RETURN user.user_id AS user_id, user.name AS name, followers, items, shared
