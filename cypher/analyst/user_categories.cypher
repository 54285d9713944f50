// Which categories stand for a user's taste?
// Categories that are commoner among their items than among those of all people. `lift` is how
// many times; each item of a person counts once. Empty where no category has `least_items` of
// theirs.
// mode: read
// params: user_id: str, least_items: int, limit: int
// returns: category_id: str, name: str, kind: str, items: int, lift: float
MATCH (user:User {user_id: $user_id})
CALL () {
  MATCH (person:User)-[:INTERACTED]->(item:Item)
  WITH DISTINCT person, item
  RETURN count(*) AS all
}
WITH user, all, COUNT { MATCH (user)-[:INTERACTED]->(item) RETURN DISTINCT item } AS own
MATCH (user)-[:INTERACTED]->(item:Item)-[:IN_CATEGORY]->(category:Category)
WITH category, all, own, count(DISTINCT item) AS items
WHERE items >= $least_items
CALL (category) {
  MATCH (category)<-[:IN_CATEGORY]-(item:Item)<-[:INTERACTED]-(person:User)
  WITH DISTINCT item, person
  RETURN count(*) AS pairs
}
WITH category, items, 1.0 * items / own * all / pairs AS lift
ORDER BY round(lift, 9) DESC, category.category_id
LIMIT $limit
RETURN category.category_id AS category_id, category.name AS name, category.kind AS kind, items,
       lift
