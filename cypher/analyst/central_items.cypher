// Which items are most central among a user's followers?
// `chance` is that of meeting the item at a random follower, in a random one of their items.
// mode: read
// params: user_id: str, limit: int
// returns: item_id: str, title: str, followers: int, chance: float
MATCH (user:User {user_id: $user_id})
WITH user, COUNT { (user)<-[:FOLLOWS]-() } AS all
MATCH (user)<-[:FOLLOWS]-(follower:User)
WITH follower, 1.0 / all / COUNT { (follower)-[:INTERACTED]->() } AS share
MATCH (follower)-[:INTERACTED]->(item:Item)
WITH item, count(DISTINCT follower) AS followers, sum(share) AS chance
ORDER BY round(chance, 12) DESC, item.item_id
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, followers, chance
