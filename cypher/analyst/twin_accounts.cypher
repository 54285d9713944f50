// Which accounts look like the same person?
// Pairs that share several items which hardly anybody else has; `jaccard` is the share of all
// their items that both have.
// mode: read
// params: most_people: int, least_shared: int, limit: int
// returns: user_id: str, other_id: str, rare: int, jaccard: float, followed: bool
MATCH (item:Item)
WHERE 2 <= COUNT { (item)<-[:INTERACTED]-() } <= $most_people
MATCH (one:User)-[:INTERACTED]->(item)<-[:INTERACTED]-(two:User)
WHERE one.user_id < two.user_id
WITH one, two, count(DISTINCT item) AS rare
WHERE rare >= $least_shared
ORDER BY rare DESC, one.user_id, two.user_id
LIMIT 1000
CALL (one, two) {
  MATCH (one)-[:INTERACTED]->(item:Item)<-[:INTERACTED]-(two)
  RETURN count(DISTINCT item) AS shared
}
WITH one, two, rare, 1.0 * shared / (
  COUNT { MATCH (one)-[:INTERACTED]->(item) RETURN DISTINCT item } +
  COUNT { MATCH (two)-[:INTERACTED]->(item) RETURN DISTINCT item } - shared) AS jaccard
ORDER BY jaccard DESC, one.user_id, two.user_id
LIMIT $limit
RETURN one.user_id AS user_id, two.user_id AS other_id, rare, jaccard,
       EXISTS { (one)-[:FOLLOWS]-(two) } AS followed
