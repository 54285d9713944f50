// What does the service's signal item_user_item give a user, counted in Cypher alone?
// λ · r(u) · n(u) · Σ_j e_j K(j, i), as docs/explanations.md has it, without any procedure; the same
// as in the answers of the service while the graph is that of the last refresh. `events` are the
// settings of the kinds of events, by their names in small letters without `-`, `_` and spaces.
// Empty where no version is active that has the signal, or nothing the user did speaks for or
// against an item.
// mode: read
// params: user_id: str, events: map, limit: int
// returns: item_id: str, title: str, score: float
WITH $events AS events
MATCH (blend:EmbeddingVersion {model: 'hybrid', status: 'active'})
WITH events, blend.kinds AS kinds,
     toFloat(trim(split(split(blend.weights, '"item_user_item":')[1], [',', '}'])[0])) AS lambda,
     toFloat(trim(split(split(split(blend.reliance, '"items":')[1], '"item_user_item":')[1],
                        [',', '}'])[0])) AS exponent,
     toInteger(trim(split(split(blend.options, '"row_size":')[1], [',', '}'])[0])) AS row_size
MATCH (user:User {user_id: $user_id})-[did:INTERACTED]->(evidence:Item)
WHERE -1e6 <= coalesce(did.weight, 1.0) <= 1e6 AND did.event IS :: STRING
WITH lambda, exponent, row_size, kinds, user, evidence,
     toFloat(coalesce(did.weight, 1.0)) AS weight,
     events[replace(replace(replace(toLower(coalesce(did.event, 'interaction')),
                                    '-', ''), '_', ''), ' ', '')] AS event,
     CASE WHEN did.last_at < datetime()
       THEN duration.inSeconds(did.last_at, datetime()).seconds / 86400.0 ELSE 0.0 END AS age_days
WITH lambda, exponent, row_size, kinds, user, evidence,
     event['weight'] * abs(weight) ^ event['exponent']
       * CASE WHEN event['weight'] < 0 THEN abs(sign(weight)) ELSE sign(weight) END AS strength,
     coalesce(age_days / event['half_life_days'], 0.0) AS half_lives
WHERE strength <> 0  // a kind without settings counts nothing
// Only ratios count: from what is newest back, for 40 half-lives.
WITH lambda, exponent, row_size, kinds, user, min(half_lives) AS least,
     collect({item: evidence, strength: strength, half_lives: half_lives}) AS did
UNWIND did AS one
WITH lambda, exponent, row_size, kinds, user, one.item AS evidence,
     sum(one.strength * 2 ^ CASE
       WHEN one.half_lives - least > 40 THEN -40 ELSE least - one.half_lives END) AS e
WHERE e <> 0
// r(u) = max(1, 20 / m)^exponent: with few items, by the effective count m = (Σ e)² / Σ e² of those
// that are liked, the signal may count for more or less.
WITH lambda, exponent, row_size, kinds, user, collect({item: evidence, e: e}) AS had,
     sum(CASE WHEN e > 0 THEN e ELSE 0.0 END) ^ 2 AS square,
     sum(CASE WHEN e > 0 THEN e * e ELSE 0.0 END) AS squares
WITH row_size, kinds, user, had, lambda * CASE
       WHEN square > 20 * squares THEN 1.0
       WHEN squares > 0 THEN 20 * squares / square
       ELSE 20.0
     END ^ coalesce(exponent, 0.0) AS lambda
UNWIND had AS one
WITH lambda, row_size, kinds, user, one.item AS evidence, one.e AS e
// K(j, i): the meta-path item_user_item, with its caps. Of people count those interactions whose kind
// speaks for an item, as the version has it.
WITH *, COUNT {
  (evidence)<-[r:INTERACTED]-()
  WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
} ^ -0.7 AS evidence_share
CALL (evidence, kinds) {
  MATCH (evidence)<-[r:INTERACTED]-(person:User)
  WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH person, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, person.user_id
  LIMIT 100
  RETURN person
}
WITH lambda, row_size, kinds, user, person,
     collect({item: evidence, e: e, share: evidence_share}) AS starts
WITH *, COUNT {
  (person)-[r:INTERACTED]->()
  WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
} ^ -0.7 AS person_share
CALL (person, kinds) {
  MATCH (person)-[r:INTERACTED]->(item:Item)
  WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
  WITH item, max(coalesce(r.weight, 1.0)) AS weight
  ORDER BY weight DESC, item.item_id
  LIMIT 100
  RETURN item
}
UNWIND starts AS start
WITH lambda, row_size, kinds, user, start.item AS evidence, start.e AS e, item,
     sum(start.share * person_share) AS share
WHERE item <> evidence
WITH lambda, row_size, kinds, user, item,
     collect({evidence: evidence, e: e, share: share}) AS sums
WITH *, COUNT {
  (item)<-[r:INTERACTED]-()
  WHERE coalesce(r.event, 'interaction') IN kinds AND 0 < coalesce(r.weight, 1.0) <= 1e6
} ^ -0.4 AS item_share
UNWIND sums AS one
WITH lambda, row_size, user, one.evidence AS evidence, one.e AS e, item,
     one.share * item_share AS strength
ORDER BY round(strength, 14) DESC, item.item_id
// The service keeps the strongest entries of each row.
WITH lambda, row_size, user, evidence, e, collect({item: item, strength: strength}) AS row
UNWIND row[..row_size] AS entry
WITH lambda, user, entry.item AS item, sum(e * entry.strength) AS raw
WITH lambda, user, collect({item: item, raw: raw}) AS all, sum(raw * raw) AS squares
CALL () {
  MATCH (:Item)
  RETURN count(*) AS items
}
UNWIND all AS found
WITH user, found.item AS item, lambda * found.raw / sqrt(squares / items) AS score
ORDER BY score DESC, item.item_id
WHERE coalesce(item.available, true) = true AND NOT EXISTS { (user)-[:INTERACTED]->(item) }
RETURN item.item_id AS item_id, item.title AS title, score
LIMIT $limit
