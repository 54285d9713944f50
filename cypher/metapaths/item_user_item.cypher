// Items of the people who have the evidence item: a three-hop walk with degree exponents
// (RP3beta; Paudel et al. 2017). Each hop takes the 100 strongest relationships at most.
// mode: read
// params: evidence_ids: list[str], kinds: list[str]
// returns: evidence_id: str, item_id: str, strength: float
// walk: (Item ^-0.7) <-[INTERACTED max 100]- (User ^-0.7)
//   -[INTERACTED max 100]-> (Item ^-0.4)
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:Item {item_id: evidence_id})
WITH evidence, COUNT {
  (evidence)<-[r:INTERACTED]-()
  WHERE coalesce(r.event, 'interaction') IN $kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
} ^ -0.7 AS evidence_share
CALL (evidence) {
  MATCH (evidence)<-[r:INTERACTED]-(person:User)
  WHERE coalesce(r.event, 'interaction') IN $kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH person, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, person.user_id
  LIMIT 100
  RETURN person
}
// Once for each person, however many pieces of evidence lead to them.
WITH person, collect([evidence, evidence_share]) AS starts
WITH person, starts, COUNT {
  (person)-[r:INTERACTED]->()
  WHERE coalesce(r.event, 'interaction') IN $kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
} ^ -0.7 AS person_share
CALL (person) {
  MATCH (person)-[r:INTERACTED]->(item:Item)
  WHERE coalesce(r.event, 'interaction') IN $kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH item, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, item.item_id
  LIMIT 100
  RETURN item
}
UNWIND starts AS start
WITH start[0] AS evidence, item, sum(start[1] * person_share) AS share
WHERE item <> evidence
// And once for each item.
WITH item, collect([evidence, share]) AS sums
WITH item, sums, COUNT {
  (item)<-[r:INTERACTED]-()
  WHERE coalesce(r.event, 'interaction') IN $kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
} ^ -0.4 AS item_share
UNWIND sums AS one
WITH one[0] AS evidence, item, one[1] * item_share AS strength
RETURN evidence.item_id AS evidence_id, item.item_id AS item_id, strength
