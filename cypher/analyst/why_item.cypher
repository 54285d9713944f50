// Why this item for this user?
// Paths to draw, of three ways: people who have the item and something of the user's, people the
// user follows, categories. `chance` is that of a random walk from the user to take the path.
// mode: read
// params: user_id: str, item_id: str, limit: int
// returns: way: str, chance: float, path: path
MATCH (user:User {user_id: $user_id})
MATCH (item:Item {item_id: $item_id})
WITH user, item, 1.0 / COUNT { (user)-[:INTERACTED]->() } AS first
CALL (user, item, first) {
  MATCH path = (user)-[:INTERACTED]->(mine:Item)<-[:INTERACTED]-(person:User)-[:INTERACTED]->(item)
  WHERE person <> user AND mine <> item
  WITH path, mine, person,
       first / COUNT { (mine)<-[:INTERACTED]-() } / COUNT { (person)-[:INTERACTED]->() } AS chance
  ORDER BY chance DESC, mine.item_id, person.user_id
  LIMIT $limit
  RETURN 'people' AS way, chance, path
  UNION ALL
  MATCH path = (user)-[:FOLLOWS]->(person:User)-[:INTERACTED]->(item)
  WITH path, person,
       1.0 / COUNT { (user)-[:FOLLOWS]->() } / COUNT { (person)-[:INTERACTED]->() } AS chance
  ORDER BY chance DESC, person.user_id
  LIMIT $limit
  RETURN 'follows' AS way, chance, path
  UNION ALL
  MATCH path = (user)-[:INTERACTED]->(mine:Item)-[:IN_CATEGORY]->(category:Category)
               <-[:IN_CATEGORY]-(item)
  WHERE mine <> item
  WITH path, mine, category,
       first / COUNT { (mine)-[:IN_CATEGORY]->() } / COUNT { (category)<-[:IN_CATEGORY]-() }
         AS chance
  ORDER BY chance DESC, mine.item_id, category.category_id
  LIMIT $limit
  RETURN 'categories' AS way, chance, path
}
RETURN way, chance, path
ORDER BY way, chance DESC
