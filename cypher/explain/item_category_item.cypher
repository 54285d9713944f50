// Categories behind item_category_item: those the evidence item shares with the recommended one.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
WITH pair.evidence_id AS evidence_id, collect(pair.item_id) AS item_ids
MATCH (evidence:Item {item_id: evidence_id})
WITH *, COUNT { (evidence)-[:IN_CATEGORY]->() } AS evidence_links
// What is within a cap is looked up only where there is more than the cap.
CALL (evidence, evidence_links) {
  MATCH (evidence)-[r:IN_CATEGORY]->(category:Category)
  WHERE evidence_links > 50 AND -1e6 <= coalesce(r.weight, 1.0) <= 1e6
  WITH category, coalesce(r.weight, 1.0) AS weight
  ORDER BY weight DESC, category.category_id
  LIMIT 50
  RETURN collect(category) AS strongest
}
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:INTERACTED]->(evidence)
  RETURN head(collect(start)) AS start
}
UNWIND item_ids AS item_id
MATCH (item:Item {item_id: item_id})
CALL (evidence, evidence_links, strongest, item) {
  // Joined from both ends: without the hint each category is looked for in turn among those of
  // the item.
  MATCH (evidence)-[first:IN_CATEGORY]->(category:Category)<-[second:IN_CATEGORY]-(item)
  USING JOIN ON category
  WHERE -1e6 <= coalesce(first.weight, 1.0) <= 1e6
    AND -1e6 <= coalesce(second.weight, 1.0) <= 1e6
  WITH *, coalesce(first.weight, 1.0) AS evidence_weight,
       coalesce(second.weight, 1.0) AS item_weight,
       COUNT { (category)<-[:IN_CATEGORY]-() } AS category_links
  WITH *, log(1 + CASE WHEN evidence_weight > 0 THEN evidence_weight ELSE 0 END)
            * log(1 + CASE WHEN item_weight > 0 THEN item_weight ELSE 0 END)
            * category_links ^ -0.7 AS share
  ORDER BY share DESC, category.category_id
  // Whether the item is within the cap of a category takes a look at all it has: so one after the
  // other, until there are enough. The limit keeps the planner from looking before it sorts.
  LIMIT 1000
  WHERE (evidence_links <= 50 OR category IN strongest) AND COUNT {
    (category)<-[other:IN_CATEGORY]-(any:Item)
    WHERE category_links > 200
      AND item_weight <= coalesce(other.weight, 1.0) <= 1e6
      AND (coalesce(other.weight, 1.0) > item_weight OR any.item_id < item.item_id)
  } < 200
  WITH evidence, first, category, second, item, evidence_links, share
  LIMIT $limit
  MATCH path = (evidence)-[first]->(category)<-[second]-(item)
  RETURN path, share * evidence_links ^ -0.5
                     * COUNT { (item)-[:IN_CATEGORY]->() } ^ -0.3 AS strength
}
RETURN evidence_id, item_id, strength, start, path
ORDER BY item_id, evidence_id, strength DESC
