// People behind item_user_item: those who have the evidence item and the recommended one.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH (evidence:Item {item_id: pair.evidence_id})
MATCH (item:Item {item_id: pair.item_id})
CALL (evidence, item) {
  MATCH (evidence)<-[r:INTERACTED]-(person:User)
  WITH evidence, item, person, max(r.weight) AS weight
  ORDER BY weight DESC, person.user_id
  LIMIT 100
  WHERE EXISTS { (person)-[:INTERACTED]->(item) }
  WITH evidence, item, person, COUNT { (person)-[:INTERACTED]->() } ^ -0.7 AS person_share
  // What is strongest for a person takes a look at all they did: so only for those that would
  // be shown.
  ORDER BY person_share DESC, person.user_id
  LIMIT 2 * $limit
  CALL (person) {
    MATCH (person)-[r:INTERACTED]->(any:Item)
    WITH any, max(r.weight) AS any_weight
    ORDER BY any_weight DESC, any.item_id
    LIMIT 100
    RETURN collect(any) AS strongest
  }
  WITH evidence, item, person, person_share
  WHERE item IN strongest
  ORDER BY person_share DESC, person.user_id
  LIMIT $limit
  MATCH path = (evidence)<-[:INTERACTED]-(person)-[:INTERACTED]->(item)
  WITH evidence, item, person, person_share, head(collect(path)) AS path
  RETURN path, person_share * COUNT { (evidence)<-[:INTERACTED]-() } ^ -0.7
                            * COUNT { (item)<-[:INTERACTED]-() } ^ -0.4 AS strength
}
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:INTERACTED]->(evidence)
  RETURN head(collect(start)) AS start
}
RETURN pair.evidence_id AS evidence_id, pair.item_id AS item_id, strength, start, path
ORDER BY item_id, evidence_id, strength DESC
