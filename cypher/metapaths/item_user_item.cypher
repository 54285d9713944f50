// Items of the people who have the evidence item: a three-hop walk with degree exponents
// (RP3beta; Paudel et al. 2017). Each hop takes the 100 strongest relationships at most.
// mode: read
// params: evidence_ids: list[str], kinds: list[str]
// returns: evidence_id: str, item_id: str, strength: float
// walk: (Item ^-0.7) <-[INTERACTED max 100]- (User ^-0.7)
//   -[INTERACTED max 100]-> (Item ^-0.4)
WITH $kinds AS speaking
// The kinds to look for; null where all interactions speak: then degrees are those that Neo4j keeps,
// and no interaction is looked at for its kind. Indexes tell, by the first and the last kind and
// weight, and by what comes after each kind that speaks.
CALL (speaking) {
  RETURN 'interaction' IN speaking AS speaks
  UNION ALL
  MATCH ()-[r:INTERACTED]->() WHERE r.event IS NOT NULL
  RETURN r.event IN speaking AS speaks ORDER BY r.event LIMIT 1
  UNION ALL
  MATCH ()-[r:INTERACTED]->() WHERE r.event IS NOT NULL
  RETURN r.event IN speaking AS speaks ORDER BY r.event DESC LIMIT 1
  UNION ALL
  UNWIND speaking AS kind
  CALL (kind) {
    MATCH ()-[r:INTERACTED]->() WHERE r.event > kind
    RETURN r.event AS event ORDER BY event LIMIT 1
  }
  RETURN event IN speaking AS speaks
  UNION ALL
  MATCH ()-[r:INTERACTED]->() WHERE r.weight IS NOT NULL
  RETURN 0 < r.weight AS speaks ORDER BY r.weight LIMIT 1
  UNION ALL
  MATCH ()-[r:INTERACTED]->() WHERE r.weight IS NOT NULL
  RETURN r.weight <= 1e6 AS speaks ORDER BY r.weight DESC LIMIT 1
}
WITH speaking, min(coalesce(speaks, false)) AS all_speak
WITH CASE WHEN NOT all_speak THEN speaking END AS kinds
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:Item {item_id: evidence_id})
WITH kinds, evidence, CASE
  WHEN kinds IS NULL THEN COUNT { (evidence)<-[:INTERACTED]-() }
  ELSE COUNT {
    (evidence)<-[r:INTERACTED]-()
    WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  }
END ^ -0.7 AS evidence_share
CALL (kinds, evidence) {
  MATCH (evidence)<-[r:INTERACTED]-(person:User)
  WHERE kinds IS NULL
    OR coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH person, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, person.user_id
  LIMIT 100
  RETURN person
}
// Once for each person, however many pieces of evidence lead to them.
WITH kinds, person, collect([evidence, evidence_share]) AS starts
WITH kinds, person, starts, CASE
  WHEN kinds IS NULL THEN COUNT { (person)-[:INTERACTED]->() }
  ELSE COUNT {
    (person)-[r:INTERACTED]->()
    WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  }
END ^ -0.7 AS person_share
CALL (kinds, person) {
  MATCH (person)-[r:INTERACTED]->(item:Item)
  WHERE kinds IS NULL
    OR coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH item, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, item.item_id
  LIMIT 100
  RETURN item
}
UNWIND starts AS start
WITH kinds, start[0] AS evidence, item, sum(start[1] * person_share) AS share
WHERE item <> evidence
// And once for each item.
WITH kinds, item, collect([evidence, share]) AS sums
WITH item, sums, CASE
  WHEN kinds IS NULL THEN COUNT { (item)<-[:INTERACTED]-() }
  ELSE COUNT {
    (item)<-[r:INTERACTED]-()
    WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  }
END ^ -0.4 AS item_share
UNWIND sums AS one
WITH one[0] AS evidence, item, one[1] * item_share AS strength
RETURN evidence.item_id AS evidence_id, item.item_id AS item_id, strength
