// Items that share categories with the evidence item; rare categories count more, and a link's
// weight counts by its logarithm. An item takes its 50 strongest categories at most, a category
// its 200 strongest items.
// mode: read
// params: evidence_ids: list[str]
// returns: evidence_id: str, item_id: str, strength: float
// walk: (Item ^-0.5) -[IN_CATEGORY 50 log]-> (Category ^-0.7)
//   <-[IN_CATEGORY 200 log]- (Item ^-0.3)
// reads: IN_CATEGORY
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:Item {item_id: evidence_id})
CALL (evidence) {
  MATCH (evidence)-[r:IN_CATEGORY]->(category:Category)
  WHERE -1e6 <= coalesce(r.weight, 1.0) <= 1e6
  WITH category, coalesce(r.weight, 1.0) AS weight
  ORDER BY weight DESC, category.category_id
  LIMIT 50
  RETURN category, log(1 + CASE WHEN weight > 0 THEN weight ELSE 0 END) AS evidence_share
}
WITH category, collect([evidence, evidence_share]) AS starts
CALL (category) {
  MATCH (category)<-[r:IN_CATEGORY]-(item:Item)
  WHERE -1e6 <= coalesce(r.weight, 1.0) <= 1e6
  WITH item, coalesce(r.weight, 1.0) AS weight
  ORDER BY weight DESC, item.item_id
  LIMIT 200
  RETURN item, log(1 + CASE WHEN weight > 0 THEN weight ELSE 0 END) AS item_share
}
WITH starts, item, item_share * COUNT { (category)<-[:IN_CATEGORY]-() } ^ -0.7 AS item_share
UNWIND starts AS start
WITH start[0] AS evidence, item, sum(start[1] * item_share) AS share
WHERE item <> evidence
RETURN evidence.item_id AS evidence_id, item.item_id AS item_id,
       share * COUNT { (evidence)-[:IN_CATEGORY]->() } ^ -0.5
             * COUNT { (item)-[:IN_CATEGORY]->() } ^ -0.3 AS strength
