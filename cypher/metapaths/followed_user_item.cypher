// Items of a followed user. The hop takes the 200 strongest relationships at most.
// mode: read
// params: evidence_ids: list[str], kinds: list[str]
// returns: evidence_id: str, item_id: str, strength: float
// walk: (User ^-0.5) -[INTERACTED max 200]-> (Item)
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:User {user_id: evidence_id})
WITH evidence, COUNT {
  (evidence)-[r:INTERACTED]->()
  WHERE coalesce(r.event, 'interaction') IN $kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
} ^ -0.5 AS strength
CALL (evidence) {
  MATCH (evidence)-[r:INTERACTED]->(item:Item)
  WHERE coalesce(r.event, 'interaction') IN $kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH item, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, item.item_id
  LIMIT 200
  RETURN item
}
RETURN evidence.user_id AS evidence_id, item.item_id AS item_id, strength
