// Why this item for this user?
// Paths to draw, of three ways: people who have the item and something of the user's, people the
// user follows, categories. `chance` is that of a random walk from the user, over the items of a
// person and the people of an item, to take the path. Empty where none of these ways leads to the
// item.
// mode: read
// params: user_id: str, item_id: str, limit: int
// returns: way: str, chance: float, path: path
MATCH (user:User {user_id: $user_id})
MATCH (item:Item {item_id: $item_id})
WITH user, item,
     1.0 / nullIf(COUNT { MATCH (user)-[:INTERACTED]->(mine) RETURN DISTINCT mine }, 0) AS first
CALL (user, item, first) {
  MATCH (user)-[:INTERACTED]->(mine:Item)
  WHERE mine <> item
  WITH DISTINCT user, item, first, mine
  WITH *, COUNT { MATCH (mine)<-[:INTERACTED]-(any) RETURN DISTINCT any } AS people
  MATCH (mine)<-[:INTERACTED]-(person:User)-[:INTERACTED]->(item)
  WHERE person <> user
  WITH DISTINCT user, item, first, mine, people, person
  WITH *, first / people / COUNT { MATCH (person)-[:INTERACTED]->(any) RETURN DISTINCT any }
       AS chance
  ORDER BY chance DESC, mine.item_id, person.user_id
  LIMIT $limit
  CALL (user, mine, person, item) {
    MATCH path = (user)-[:INTERACTED]->(mine)<-[:INTERACTED]-(person)-[:INTERACTED]->(item)
    RETURN path
    ORDER BY [did IN relationships(path) | did.event]
    LIMIT 1
  }
  RETURN 'people' AS way, chance, path
  UNION ALL
  MATCH (user)-[:FOLLOWS]->(person:User)-[:INTERACTED]->(item)
  WITH DISTINCT user, item, person
  WITH *, 1.0 / COUNT { (user)-[:FOLLOWS]->() }
              / COUNT { MATCH (person)-[:INTERACTED]->(any) RETURN DISTINCT any } AS chance
  ORDER BY chance DESC, person.user_id
  LIMIT $limit
  CALL (user, person, item) {
    MATCH path = (user)-[:FOLLOWS]->(person)-[did:INTERACTED]->(item)
    RETURN path
    ORDER BY did.event
    LIMIT 1
  }
  RETURN 'follows' AS way, chance, path
  UNION ALL
  MATCH (user)-[:INTERACTED]->(mine:Item)-[:IN_CATEGORY]->(category:Category)<-[:IN_CATEGORY]-(item)
  WHERE mine <> item
  WITH DISTINCT user, item, first, mine, category
  WITH *, first / COUNT { (mine)-[:IN_CATEGORY]->() } / COUNT { (category)<-[:IN_CATEGORY]-() }
       AS chance
  ORDER BY chance DESC, mine.item_id, category.category_id
  LIMIT $limit
  CALL (user, mine, category, item) {
    MATCH path = (user)-[did:INTERACTED]->(mine)-[:IN_CATEGORY]->(category)<-[:IN_CATEGORY]-(item)
    RETURN path
    ORDER BY did.event
    LIMIT 1
  }
  RETURN 'categories' AS way, chance, path
}
RETURN way, chance, path
ORDER BY way, chance DESC
