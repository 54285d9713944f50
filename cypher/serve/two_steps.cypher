// Where a random walk from some items is after two steps: over one of the people who have it, 100
// at most, to something that they have, of 1,000 things at most, or to whom they are linked with.
// Who has an item did something with it of a kind that speaks for it. What somebody has is read
// once, however many of the items they have.
// mode: read
// params: evidence_ids: list[str], kinds: list[str]
// returns: evidence_id: str, item_ids: list[str], shares: list[float]
UNWIND $evidence_ids AS evidence_id
MATCH (evidence:Item {item_id: evidence_id})
CALL (evidence) {
  MATCH (evidence)<-[r:INTERACTED]-(person:User)
  WHERE coalesce(r.event, 'interaction') IN $kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH DISTINCT person
  ORDER BY person.user_id
  LIMIT 100
  RETURN collect(person) AS people
}
UNWIND people AS person
WITH person, collect({evidence_id: evidence.item_id, number: size(people)}) AS starts
CALL (person) {
  MATCH (person)-[r:INTERACTED]->(item:Item)
  WHERE coalesce(r.event, 'interaction') IN $kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH DISTINCT item
  ORDER BY item.item_id
  LIMIT 1000
  RETURN collect(item.item_id) AS item_ids, count(*) AS having
}
WITH starts, item_ids,
     having + COUNT { MATCH (person)-[:FOLLOWS]-(other:User) RETURN DISTINCT other } AS degree
UNWIND starts AS start
UNWIND item_ids AS item_id
WITH start.evidence_id AS evidence_id, item_id, sum(1.0 / (start.number * degree)) AS share
WHERE evidence_id IS NOT NULL AND item_id IS :: STRING NOT NULL
RETURN evidence_id, collect(item_id) AS item_ids, collect(share) AS shares
