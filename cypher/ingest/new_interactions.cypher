// Adds interactions that are not in the graph; users and items exist. Each row is a user's id and
// what they did: lists of item_id, event, count, weight, value, first_at and last_at, each in
// whole seconds and nanoseconds, and further properties.
// mode: write
// params: rows: list[list[any]]
UNWIND $rows AS row
MATCH (u:User {user_id: row[0]})
UNWIND row[1] AS did
MATCH (i:Item {item_id: did[0]})
CREATE (u)-[r:INTERACTED {
  event: did[1], count: did[2], weight: did[3], value: did[4],
  first_at: CASE
    WHEN did[5] IS NOT NULL THEN datetime({epochSeconds: did[5], nanosecond: did[6]}) END,
  last_at: CASE
    WHEN did[7] IS NOT NULL THEN datetime({epochSeconds: did[7], nanosecond: did[8]}) END
}]->(i)
SET r += coalesce(did[9], {})
