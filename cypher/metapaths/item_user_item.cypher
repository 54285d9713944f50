// Items of the people who have the evidence item: a three-hop walk with degree exponents
// (RP3beta; Paudel et al. 2017). Each hop takes the 100 strongest relationships at most.
// mode: read
// params: evidence_ids: list[str]
// returns: evidence_id: str, item_id: str, strength: float
// walk: (Item ^-0.7) <-[INTERACTED max 100]- (User ^-0.7)
//   -[INTERACTED max 100]-> (Item ^-0.4)
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:Item {item_id: evidence_id})
CALL (evidence) {
  MATCH (evidence)<-[r:INTERACTED]-(person:User)
  WITH person, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, person.user_id
  LIMIT 100
  RETURN person
}
// Once for each person, however many pieces of evidence lead to them.
WITH person, collect(evidence) AS starts,
     COUNT { (person)-[:INTERACTED]->() } ^ -0.7 AS person_share
CALL (person) {
  MATCH (person)-[r:INTERACTED]->(item:Item)
  WITH item, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, item.item_id
  LIMIT 100
  RETURN item
}
UNWIND starts AS evidence
WITH evidence, item, sum(person_share) AS share
WHERE item <> evidence
RETURN evidence.item_id AS evidence_id, item.item_id AS item_id,
       share * COUNT { (evidence)<-[:INTERACTED]-() } ^ -0.7
             * COUNT { (item)<-[:INTERACTED]-() } ^ -0.4 AS strength
