// What followed_user_item stands on: a followed user has the item.
// mode: read
// params: pairs: list[map], user_id: str, kinds: list[str], limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
WITH pair.evidence_id AS evidence_id, collect(pair.item_id) AS item_ids
WITH *, $kinds AS kinds
MATCH (evidence:User {user_id: evidence_id})
WITH *, COUNT {
  (evidence)-[r:INTERACTED]->()
  WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
} ^ -0.5 AS strength
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:FOLLOWS]->(evidence)
  RETURN head(collect(start)) AS start
}
UNWIND item_ids AS item_id
MATCH (item:Item {item_id: item_id})
CALL (evidence, item, kinds) {
  MATCH path = (evidence)-[r:INTERACTED]->(item)
  WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  RETURN path
  LIMIT $limit
}
RETURN evidence_id, item_id, strength, start, head(collect(path)) AS path
ORDER BY item_id, evidence_id
