// Items of a preferred category, the 200 strongest at most.
// mode: read
// params: evidence_ids: list[str]
// returns: evidence_id: str, item_id: str, strength: float
// walk: (Category) <-[IN_CATEGORY 200 log]- (Item ^-0.3)
// reads: IN_CATEGORY
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:Category {category_id: evidence_id})
CALL (evidence) {
  MATCH (evidence)<-[r:IN_CATEGORY]-(item:Item)
  WITH item, coalesce(r.weight, 1.0) AS weight
  ORDER BY weight DESC, item.item_id
  LIMIT 200
  RETURN item, log(1 + CASE WHEN weight > 0 THEN weight ELSE 0 END) AS item_share
}
RETURN evidence.category_id AS evidence_id, item.item_id AS item_id,
       item_share * COUNT { (item)-[:IN_CATEGORY]->() } ^ -0.3 AS strength
