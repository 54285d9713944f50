// What followed_user_item stands on: a followed user has the item.
// mode: read
// params: pairs: list[map], user_id: str, kinds: list[str], limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH (evidence:User {user_id: pair.evidence_id})
MATCH (item:Item {item_id: pair.item_id})
WITH *, $kinds AS kinds
CALL (evidence, item, kinds) {
  MATCH path = (evidence)-[r:INTERACTED]->(item)
  WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  RETURN path
  LIMIT $limit
}
WITH pair, evidence, kinds, head(collect(path)) AS path
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:FOLLOWS]->(evidence)
  RETURN head(collect(start)) AS start
}
RETURN pair.evidence_id AS evidence_id, pair.item_id AS item_id, COUNT {
  (evidence)-[r:INTERACTED]->()
  WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
} ^ -0.5 AS strength, start, path
ORDER BY item_id, evidence_id
