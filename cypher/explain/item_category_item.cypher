// Categories behind item_category_item: those the evidence item shares with the recommended one.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH (evidence:Item {item_id: pair.evidence_id})
MATCH (item:Item {item_id: pair.item_id})
CALL (evidence, item) {
  MATCH (evidence)-[r:IN_CATEGORY]->(category:Category)
  WITH evidence, item, category, r.weight AS weight
  ORDER BY coalesce(weight, 1.0) DESC, category.category_id
  LIMIT 50
  MATCH path = (evidence)-[first:IN_CATEGORY]->(category)<-[second:IN_CATEGORY]-(item)
  WITH path, evidence, item, category, coalesce(second.weight, 1.0) AS item_weight,
       log(1 + CASE WHEN coalesce(first.weight, 1.0) > 0 THEN coalesce(first.weight, 1.0) ELSE 0 END)
         * log(1 + CASE WHEN coalesce(second.weight, 1.0) > 0 THEN coalesce(second.weight, 1.0) ELSE 0 END)
         * COUNT { (category)<-[:IN_CATEGORY]-() } ^ -0.7 AS share
  // Whether the item is among a category's strongest takes a look at all of them: so only for
  // the categories that would be shown.
  ORDER BY share DESC, category.category_id
  LIMIT 2 * $limit
  WHERE COUNT {
    (category)<-[other:IN_CATEGORY]-(any:Item)
    WHERE coalesce(other.weight, 1.0) > item_weight
       OR (coalesce(other.weight, 1.0) = item_weight AND any.item_id < item.item_id)
  } < 200
  WITH path, evidence, item, category, share
  ORDER BY share DESC, category.category_id
  LIMIT $limit
  RETURN path, share * COUNT { (evidence)-[:IN_CATEGORY]->() } ^ -0.5
                     * COUNT { (item)-[:IN_CATEGORY]->() } ^ -0.3 AS strength
}
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:INTERACTED]->(evidence)
  RETURN head(collect(start)) AS start
}
RETURN pair.evidence_id AS evidence_id, pair.item_id AS item_id, strength, start, path
ORDER BY item_id, evidence_id, strength DESC
