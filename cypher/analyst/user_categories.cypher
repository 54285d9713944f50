// Which categories stand for a user's taste?
// Categories that are commoner among their items than among those of all people. `lift` is how
// many times; each item of a person counts once.
// mode: read
// params: user_id: str, least_items: int, limit: int
// returns: category_id: str, name: str, items: int, lift: float
MATCH (user:User {user_id: $user_id})
CALL () {
  MATCH (:User)-[:INTERACTED]->(:Item)
  RETURN count(*) AS all
}
WITH user, all, COUNT { (user)-[:INTERACTED]->() } AS own
MATCH (user)-[:INTERACTED]->(:Item)-[:IN_CATEGORY]->(category:Category)
WITH category, all, own, count(*) AS items
WHERE items >= $least_items
WITH category, items, 1.0 * items / own * all /
     COUNT { (category)<-[:IN_CATEGORY]-(:Item)<-[:INTERACTED]-() } AS lift
ORDER BY round(lift, 9) DESC, category.category_id
LIMIT $limit
RETURN category.category_id AS category_id, category.name AS name, items, lift
