// What category_item stands on: the item is in a preferred category, or in one below it. A path
// takes the shortest way down.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH (evidence:Category {category_id: pair.evidence_id})
MATCH (item:Item {item_id: pair.item_id})
CALL (evidence, item) {
  MATCH (item)-[r:IN_CATEGORY]->(category:Category)
  WHERE -1e6 <= coalesce(r.weight, 1.0) <= 1e6
  WITH category, coalesce(r.weight, 1.0) AS weight,
       COUNT { (category)<-[:IN_CATEGORY]-() } AS category_links
  CALL (evidence, category) {
    MATCH (category)-[:SUBCATEGORY_OF*0..10]->(above:Category)
    WITH DISTINCT above
    WHERE above = evidence
    RETURN above
  }
  // Whether the item is within the cap of a category is looked up only where there is more.
  WITH category, weight, category_links, item
  WHERE COUNT {
    (category)<-[other:IN_CATEGORY]-(any:Item)
    WHERE category_links > 200 AND weight <= coalesce(other.weight, 1.0) <= 1e6
      AND (coalesce(other.weight, 1.0) > weight OR any.item_id < item.item_id)
  } < 200
  WITH category.category_id AS category_id,
       log(1 + CASE WHEN weight > 0 THEN weight ELSE 0 END) AS item_share
  ORDER BY item_share DESC, category_id
  LIMIT $limit
  CALL (evidence, category_id, item) {
    MATCH path = SHORTEST 1 (evidence)(()<-[:SUBCATEGORY_OF]-()){0,10}
                 (:Category {category_id: category_id})<-[:IN_CATEGORY]-(item)
    RETURN path
  }
  RETURN path, item_share
}
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:PREFERS]->(evidence)
  RETURN head(collect(start)) AS start
}
RETURN pair.evidence_id AS evidence_id, pair.item_id AS item_id,
       item_share * COUNT { (item)-[:IN_CATEGORY]->() } ^ -0.3 AS strength, start, path
ORDER BY item_id, evidence_id, strength DESC
