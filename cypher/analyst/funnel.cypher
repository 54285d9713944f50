// How many get from one kind of event to the next?
// Pairs of a user and an item that have the first kind, those of them that have the second too,
// and so on. `kept` is the share of the step before.
// mode: read
// params: steps: list[str]
// returns: step: int, event: str, pairs: int, users: int, kept: float
MATCH (user:User)-[did:INTERACTED]->(item:Item)
WHERE did.event IN $steps
WITH user, item, collect(DISTINCT did.event) AS events
UNWIND range(0, size($steps) - 1) AS last
WITH user, last, events
WHERE all(event IN $steps[..last + 1] WHERE event IN events)
WITH last, count(*) AS pairs, count(DISTINCT user) AS users
ORDER BY last
WITH collect([last, pairs, users]) AS found
UNWIND found AS row
RETURN row[0] + 1 AS step, $steps[row[0]] AS event, row[1] AS pairs, row[2] AS users,
       CASE row[0] WHEN 0 THEN 1.0 ELSE toFloat(row[1]) / found[row[0] - 1][1] END AS kept
