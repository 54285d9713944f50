// What followed_user_item stands on: a followed user has the item.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH (evidence:User {user_id: pair.evidence_id})
MATCH (item:Item {item_id: pair.item_id})
CALL (evidence, item) {
  MATCH path = (evidence)-[:INTERACTED]->(item)
  RETURN path
  LIMIT $limit
}
WITH pair, evidence, head(collect(path)) AS path
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:FOLLOWS]->(evidence)
  RETURN head(collect(start)) AS start
}
RETURN pair.evidence_id AS evidence_id, pair.item_id AS item_id,
       COUNT { (evidence)-[:INTERACTED]->() } ^ -0.5 AS strength, start, path
ORDER BY item_id, evidence_id
