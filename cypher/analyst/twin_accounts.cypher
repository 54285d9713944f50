// Which accounts look like the same person?
// Pairs that share several items which hardly anybody else has; `jaccard` is the share of all
// their items that both have. Empty where no two people share so many items that are so rare.
// mode: read
// params: most_people: int, least_shared: int, limit: int
// returns: user_id: str, other_id: str, rare: int, jaccard: float, followed: bool
MATCH (item:Item)
WHERE 2 <= COUNT { MATCH (item)<-[:INTERACTED]-(any) RETURN DISTINCT any } <= $most_people
CALL (item) {
  MATCH (item)<-[:INTERACTED]-(person:User)
  WITH DISTINCT person
  ORDER BY person.user_id
  RETURN collect(person) AS people
}
UNWIND range(0, size(people) - 2) AS first
UNWIND people[first + 1..] AS two
WITH people[first] AS one, two, count(*) AS rare
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
