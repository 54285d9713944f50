// What connects two users?
// Paths to draw: the shortest chain of follows, people both follow, and items both have; the
// rarest first. `people` is how many follow, or have, what is in the middle. Empty where nothing
// connects them.
// mode: read
// params: user_id: str, other_id: str, limit: int
// returns: way: str, people: int, path: path
MATCH (one:User {user_id: $user_id})
MATCH (two:User {user_id: $other_id})
WHERE one <> two
CALL (one, two) {
  MATCH path = shortestPath((one)-[:FOLLOWS*..6]-(two))
  RETURN 'chain of follows' AS way, length(path) + 1 AS people, path
  UNION ALL
  MATCH path = (one)-[:FOLLOWS]->(person:User)<-[:FOLLOWS]-(two)
  WITH path, person, COUNT { (person)<-[:FOLLOWS]-() } AS people
  ORDER BY people, person.user_id
  LIMIT $limit
  RETURN 'both follow' AS way, people, path
  UNION ALL
  MATCH (one)-[:INTERACTED]->(item:Item)<-[:INTERACTED]-(two)
  WITH DISTINCT one, two, item
  WITH *, COUNT { MATCH (item)<-[:INTERACTED]-(user) RETURN DISTINCT user } AS people
  ORDER BY people, item.item_id
  LIMIT $limit
  CALL (one, item, two) {
    MATCH path = (one)-[:INTERACTED]->(item)<-[:INTERACTED]-(two)
    RETURN path
    ORDER BY [did IN relationships(path) | did.event]
    LIMIT 1
  }
  RETURN 'both have' AS way, people, path
}
RETURN way, people, path
ORDER BY way, people
