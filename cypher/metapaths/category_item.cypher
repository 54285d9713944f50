// Items of a preferred category and of all below it, ten levels at most. An item counts once for
// each of these categories that it is in; each takes its 200 strongest items at most.
// mode: read
// params: evidence_ids: list[str]
// returns: evidence_id: str, item_id: str, strength: float
// walk: (Category) <-[SUBCATEGORY_OF *10]- (Category) <-[IN_CATEGORY 200 log]- (Item ^-0.3)
// reads: IN_CATEGORY, SUBCATEGORY_OF
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:Category {category_id: evidence_id})
MATCH (evidence)<-[:SUBCATEGORY_OF*0..10]-(category:Category)
WITH DISTINCT evidence, category
WITH category, collect(evidence) AS starts
CALL (category) {
  MATCH (category)<-[r:IN_CATEGORY]-(item:Item)
  WHERE -1e6 <= coalesce(r.weight, 1.0) <= 1e6
  WITH item, coalesce(r.weight, 1.0) AS weight
  ORDER BY weight DESC, item.item_id
  LIMIT 200
  RETURN item, log(1 + CASE WHEN weight > 0 THEN weight ELSE 0 END) AS item_share
}
UNWIND starts AS evidence
WITH evidence, item, sum(item_share) AS share
RETURN evidence.category_id AS evidence_id, item.item_id AS item_id,
       share * COUNT { (item)-[:IN_CATEGORY]->() } ^ -0.3 AS strength
