// Which categories do the people a user follows care for, and the user not at all?
// Empty where the user follows nobody, or has something in every category those have.
// mode: read
// params: user_id: str, limit: int
// returns: category_id: str, name: str, kind: str, people: int, items: int
MATCH (user:User {user_id: $user_id})
CALL (user) {
  OPTIONAL MATCH (user)-[:INTERACTED]->(:Item)-[:IN_CATEGORY]->(own:Category)
  WITH DISTINCT own
  RETURN collect(own) AS touched
}
MATCH (user)-[:FOLLOWS]->(other:User)-[:INTERACTED]->(item:Item)-[:IN_CATEGORY]->(category:Category)
WITH touched, category, count(DISTINCT other) AS people, count(DISTINCT item) AS items
ORDER BY people DESC, items DESC, category.category_id
WHERE NOT category IN touched
RETURN category.category_id AS category_id, category.name AS name, category.kind AS kind, people,
       items
LIMIT $limit
