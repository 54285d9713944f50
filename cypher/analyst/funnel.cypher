// How many get from one kind of event to the next?
// Pairs of a user and an item that have the first kind, those of them that have the second too,
// and so on; 0 from the first kind on that no such pair has. `kept` is the share of the step before.
// Names are compared without case, `-`, `_` and spaces.
// mode: read
// params: steps: list[str]
// returns: step: int, event: str, pairs: int, users: int, kept: float
WITH [step IN $steps | replace(replace(replace(toLower(step), '-', ''), '_', ''), ' ', '')] AS keys
UNWIND range(0, size(keys) - 1) AS last
CALL (last, keys) {
  MATCH (user:User)-[did:INTERACTED]->(item:Item)
  WHERE did.event IS :: STRING NOT NULL
  WITH last, keys, user, item,
       replace(replace(replace(toLower(did.event), '-', ''), '_', ''), ' ', '') AS key
  WHERE key IN keys[..last + 1]
  WITH last, keys, user, item, collect(DISTINCT key) AS events
  WHERE all(event IN keys[..last + 1] WHERE event IN events)
  RETURN count(*) AS pairs, count(DISTINCT user) AS users
}
WITH last, pairs, users
ORDER BY last
WITH collect([last, pairs, users]) AS found
UNWIND found AS row
WITH row, CASE row[0] WHEN 0 THEN row[1] ELSE found[row[0] - 1][1] END AS before
RETURN row[0] + 1 AS step, $steps[row[0]] AS event, row[1] AS pairs, row[2] AS users,
       CASE before WHEN 0 THEN 0.0 ELSE toFloat(row[1]) / before END AS kept
