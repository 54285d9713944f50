// Stores outcomes, each once: of those whose `outcome_id` is there already nothing is written, nor
// of those whose user or item is not in the graph any more, nor of those that are an event which
// came before: it may have been taken back. No other node is made. Each row has outcome_id, item_id,
// user_id (null for a session), event_id (null for what is no event), `at` and `answered_at` in
// milliseconds, and `properties`; each id comes once in `rows`. `known` names those whose user and
// item are there.
// mode: write
// params: rows: list[map]
// returns: known: list[str], made: list[str]
UNWIND $rows AS row
MATCH (:Item {item_id: row.item_id})
OPTIONAL MATCH (user:User {user_id: row.user_id})
WITH row, user
WHERE row.user_id IS NULL OR user IS NOT NULL
WITH row, EXISTS { (:Outcome {outcome_id: row.outcome_id}) }
       OR EXISTS { (:Event {event_id: row.event_id}) } AS existed
WITH collect({row: row, existed: existed}) AS rows
CALL (rows) {
  UNWIND rows AS each
  WITH each.row AS row
  WHERE NOT each.existed
  CREATE (o:Outcome {outcome_id: row.outcome_id})
  SET o += row.properties, o.user_id = row.user_id, o.item_id = row.item_id,
      o.at = datetime({epochMillis: row.at}),
      o.answered_at = datetime({epochMillis: row.answered_at})
  RETURN count(*) AS count
}
RETURN [each IN rows | each.row.outcome_id] AS known,
       [each IN rows WHERE NOT each.existed | each.row.outcome_id] AS made
