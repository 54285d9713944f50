// People behind item_user_item: those who have the evidence item and the recommended one.
// mode: read
// params: pairs: list[map], user_id: str, limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
UNWIND $pairs AS pair
MATCH (evidence:Item {item_id: pair.evidence_id})
MATCH (item:Item {item_id: pair.item_id})
CALL (evidence, item) {
  WITH evidence, item, COLLECT {
    MATCH (evidence)<-[r:INTERACTED]-(any:User)
    WITH any, max(r.weight) AS weight
    ORDER BY weight DESC, any.user_id
    LIMIT 100
    RETURN any
  } AS strongest
  // Joined from both ends: without the hint the items of each person are looked through in turn.
  MATCH path = (evidence)<-[:INTERACTED]-(person:User)-[:INTERACTED]->(item)
  USING JOIN ON person
  WITH evidence, item, strongest, person, head(collect(path)) AS path
  WITH *, COUNT { (person)-[:INTERACTED]->() } ^ -0.7 AS person_share
  ORDER BY person_share DESC, person.user_id
  // Whether both are within the caps takes a look at all a person did: so one after the other,
  // until there are enough. The limit keeps the planner from looking before it sorts.
  LIMIT 1000
  WHERE person IN strongest AND item IN COLLECT {
    MATCH (person)-[r:INTERACTED]->(any:Item)
    WITH any, max(r.weight) AS weight
    ORDER BY weight DESC, any.item_id
    LIMIT 100
    RETURN any
  }
  WITH evidence, item, person, path, person_share
  LIMIT $limit
  RETURN path, person_share * COUNT { (evidence)<-[:INTERACTED]-() } ^ -0.7
                            * COUNT { (item)<-[:INTERACTED]-() } ^ -0.4 AS strength
}
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:INTERACTED]->(evidence)
  RETURN head(collect(start)) AS start
}
RETURN pair.evidence_id AS evidence_id, pair.item_id AS item_id, strength, start, path
ORDER BY item_id, evidence_id, strength DESC
