// What category_item stands on: the item is in a preferred category.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH (evidence:Category {category_id: pair.evidence_id})
MATCH (item:Item {item_id: pair.item_id})
CALL (evidence, item) {
  MATCH path = (evidence)<-[r:IN_CATEGORY]-(item)
  RETURN path, log(1 + CASE WHEN coalesce(r.weight, 1.0) > 0 THEN coalesce(r.weight, 1.0) ELSE 0 END) AS item_share
  LIMIT $limit
}
WITH pair, evidence, item, item_share, path
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:PREFERS]->(evidence)
  RETURN head(collect(start)) AS start
}
RETURN pair.evidence_id AS evidence_id, pair.item_id AS item_id,
       item_share * COUNT { (item)-[:IN_CATEGORY]->() } ^ -0.3 AS strength, start, path
ORDER BY item_id, evidence_id
