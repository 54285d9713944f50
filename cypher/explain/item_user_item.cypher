// People behind item_user_item: those who have the evidence item and the recommended one.
// mode: read
// params: pairs: list[map], user_id: str, kinds: list[str], limit: int
// returns: evidence_id: str, item_id: str, strength: float, start: path, path: path
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
UNWIND $pairs AS pair
WITH kinds, pair.evidence_id AS evidence_id, collect(pair.item_id) AS item_ids
MATCH (evidence:Item {item_id: evidence_id})
CALL (evidence, kinds) {
  MATCH (evidence)<-[r:INTERACTED]-(person:User)
  WHERE kinds IS NULL
    OR coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH person, max(coalesce(r.weight, 1.0)) AS weight, count(r) AS links
  ORDER BY weight DESC, person.user_id
  RETURN collect(person)[..100] AS strongest, sum(links) AS evidence_links
}
CALL (evidence) {
  OPTIONAL MATCH start = (:User {user_id: $user_id})-[:INTERACTED]->(evidence)
  RETURN head(collect(start)) AS start
}
UNWIND item_ids AS item_id
MATCH (item:Item {item_id: item_id})
WITH *, CASE
  WHEN kinds IS NULL THEN COUNT { (item)<-[:INTERACTED]-() }
  ELSE COUNT {
    (item)<-[r:INTERACTED]-()
    WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  }
END AS item_links
CALL (evidence, kinds, strongest, item) {
  // Joined from both ends: without the hint the items of each person are looked through in turn.
  MATCH path = (evidence)<-[r1:INTERACTED]-(person:User)-[r2:INTERACTED]->(item)
  USING JOIN ON person
  WHERE person IN strongest
    AND (kinds IS NULL
      OR coalesce(r1.event, 'interaction') IN kinds AND 0 < coalesce(r1.weight, 1.0) <= 1e6)
    AND (kinds IS NULL
      OR coalesce(r2.event, 'interaction') IN kinds AND 0 < coalesce(r2.weight, 1.0) <= 1e6)
  WITH kinds, person, head(collect(path)) AS path
  WITH kinds, person, path, CASE
    WHEN kinds IS NULL THEN COUNT { (person)-[:INTERACTED]->() }
    ELSE COUNT {
      (person)-[r:INTERACTED]->()
      WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
    }
  END AS person_links
  ORDER BY person_links, person.user_id
  // What is within the cap of a person takes a look at all they did: so one after the other, until
  // there are enough. The limit keeps the planner from looking before it sorts.
  LIMIT 100
  WHERE person_links <= 100 OR item IN COLLECT {
    MATCH (person)-[r:INTERACTED]->(any:Item)
    WHERE person_links > 100 AND (kinds IS NULL
      OR coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6)
    WITH any, max(coalesce(r.weight, 1.0)) AS weight
    ORDER BY weight DESC, any.item_id
    LIMIT 100
    RETURN any
  }
  WITH path, person_links
  LIMIT $limit
  RETURN path, person_links
}
RETURN evidence_id, item_id,
       person_links ^ -0.7 * evidence_links ^ -0.7 * item_links ^ -0.4 AS strength, start, path
ORDER BY item_id, evidence_id, strength DESC
