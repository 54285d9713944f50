// People behind item_user_item: those who have the evidence item and the recommended one.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
WITH pair.evidence_id AS evidence_id, collect(pair.item_id) AS item_ids
MATCH (evidence:Item {item_id: evidence_id})
CALL (evidence) {
  MATCH (evidence)<-[r:INTERACTED]-(person:User)
  WITH person, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, person.user_id
  LIMIT 100
  RETURN collect(person) AS strongest
}
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:INTERACTED]->(evidence)
  RETURN head(collect(start)) AS start
}
UNWIND item_ids AS item_id
MATCH (item:Item {item_id: item_id})
CALL (evidence, strongest, item) {
  // Joined from both ends: without the hint the items of each person are looked through in turn.
  MATCH path = (evidence)<-[:INTERACTED]-(person:User)-[:INTERACTED]->(item)
  USING JOIN ON person
  WITH evidence, strongest, item, person, head(collect(path)) AS path
  WITH *, COUNT { (person)-[:INTERACTED]->() } AS person_links
  ORDER BY person_links, person.user_id
  // What is within the cap of a person takes a look at all they did: so one after the other, until
  // there are enough. The limit keeps the planner from looking before it sorts.
  LIMIT 1000
  WHERE person IN strongest AND (person_links <= 100 OR item IN COLLECT {
    MATCH (person)-[r:INTERACTED]->(any:Item)
    WHERE person_links > 100
    WITH any, max(coalesce(r.weight, 1.0)) AS weight
    ORDER BY weight DESC, any.item_id
    LIMIT 100
    RETURN any
  })
  WITH evidence, item, path, person_links
  LIMIT $limit
  RETURN path, person_links ^ -0.7 * COUNT { (evidence)<-[:INTERACTED]-() } ^ -0.7
                                   * COUNT { (item)<-[:INTERACTED]-() } ^ -0.4 AS strength
}
RETURN evidence_id, item_id, strength, start, path
ORDER BY item_id, evidence_id, strength DESC
