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
CALL (evidence, kinds, strongest, item) {
  // Joined from both ends: without the hint the items of each person are looked through in turn.
  MATCH path = (evidence)<-[r1:INTERACTED]-(person:User)-[r2:INTERACTED]->(item)
  USING JOIN ON person
  WHERE person IN strongest
    AND (kinds IS NULL
      OR coalesce(r1.event, 'interaction') IN kinds AND 0 < coalesce(r1.weight, 1.0) <= 1e6)
    AND (kinds IS NULL
      OR coalesce(r2.event, 'interaction') IN kinds AND 0 < coalesce(r2.weight, 1.0) <= 1e6)
  RETURN person, head(collect(path)) AS path, max(coalesce(r2.weight, 1.0)) AS weight
}
// Once for each person, however many pairs they are between.
WITH kinds, person, collect([evidence_id, evidence_links, start, item, path, weight]) AS pairs
WITH kinds, person, pairs, CASE
  WHEN kinds IS NULL THEN COUNT { (person)-[:INTERACTED]->() }
  ELSE COUNT {
    (person)-[r:INTERACTED]->()
    WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  }
END AS person_links
ORDER BY person_links, person.user_id
UNWIND pairs AS pair
WITH kinds, pair[0] AS evidence_id, pair[1] AS evidence_links, pair[2] AS start, pair[3] AS item,
     collect([person, person_links, pair[4], pair[5]]) AS people
CALL (kinds, item, people) {
  // Whether the item is within the cap of a person takes a look at what they did, until 100 better
  // items are found: so one after the other, until there are enough.
  UNWIND people[..100] AS one
  WITH kinds, item, one[0] AS person, one[1] AS person_links, one[2] AS path, one[3] AS weight
  WHERE person_links <= 100 OR COUNT {
    MATCH (person)-[r:INTERACTED]->(any:Item)
    WHERE person_links > 100 AND (kinds IS NULL
      OR coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6)
      AND coalesce(r.weight, 1.0) >= weight
      AND (coalesce(r.weight, 1.0) > weight OR any.item_id < item.item_id)
    RETURN DISTINCT any
    LIMIT 100
  } < 100
  RETURN path, person_links
  LIMIT $limit
}
// And once for each item.
WITH kinds, item, collect([evidence_id, evidence_links, start, path, person_links]) AS paths
WITH item, paths, CASE
  WHEN kinds IS NULL THEN COUNT { (item)<-[:INTERACTED]-() }
  ELSE COUNT {
    (item)<-[r:INTERACTED]-()
    WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  }
END AS item_links
UNWIND paths AS one
RETURN one[0] AS evidence_id, item.item_id AS item_id,
       one[4] ^ -0.7 * one[1] ^ -0.7 * item_links ^ -0.4 AS strength, one[2] AS start,
       one[3] AS path
ORDER BY item_id, evidence_id, strength DESC
