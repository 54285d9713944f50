// Categories behind item_category_item: those the evidence item shares with the recommended one.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH (evidence:Item {item_id: pair.evidence_id})
MATCH (item:Item {item_id: pair.item_id})
CALL (evidence, item) {
  // Joined from both ends: without the hint each category is looked for in turn among those of
  // the item.
  MATCH path = (evidence)-[first:IN_CATEGORY]->(category:Category)<-[second:IN_CATEGORY]-(item)
  USING JOIN ON category
  WITH path, evidence, item, category,
       coalesce(first.weight, 1.0) AS evidence_weight, coalesce(second.weight, 1.0) AS item_weight
  WITH *, log(1 + CASE WHEN evidence_weight > 0 THEN evidence_weight ELSE 0 END)
            * log(1 + CASE WHEN item_weight > 0 THEN item_weight ELSE 0 END)
            * COUNT { (category)<-[:IN_CATEGORY]-() } ^ -0.7 AS share
  ORDER BY share DESC, category.category_id
  // Whether both are within the caps takes a look at all a category has: so one after the other,
  // until there are enough. The limit keeps the planner from looking before it sorts.
  LIMIT 1000
  WHERE COUNT {
    (evidence)-[other:IN_CATEGORY]->(any:Category)
    WHERE coalesce(other.weight, 1.0) > evidence_weight
       OR (coalesce(other.weight, 1.0) = evidence_weight AND any.category_id < category.category_id)
  } < 50 AND COUNT {
    (category)<-[other:IN_CATEGORY]-(any:Item)
    WHERE coalesce(other.weight, 1.0) > item_weight
       OR (coalesce(other.weight, 1.0) = item_weight AND any.item_id < item.item_id)
  } < 200
  WITH path, evidence, item, share
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
