// Which items are most central among a user's followers?
// `chance` is that of meeting the item at a random follower, in a random one of their items. Empty
// where nobody follows the user, or no follower did anything.
// mode: read
// params: user_id: str, limit: int
// returns: item_id: str, title: str, followers: int, chance: float
MATCH (user:User {user_id: $user_id})
WITH user, COUNT { (user)<-[:FOLLOWS]-() } AS all
MATCH (user)<-[:FOLLOWS]-(follower:User)
CALL (follower) {
  MATCH (follower)-[:INTERACTED]->(item:Item)
  WITH DISTINCT item
  RETURN collect(item) AS items
}
UNWIND items AS item
WITH item, count(*) AS followers, sum(1.0 / all / size(items)) AS chance
ORDER BY round(chance, 12) DESC, item.item_id
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, followers, chance
