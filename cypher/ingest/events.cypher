// Counts events, each once for good: one whose `event_id` has an `(:Event)` already is left out,
// also when it stands twice in `rows` or another transaction brings it at the same moment.
// Each row has event_id, user_id, item_id, event, and value, `at` (whole seconds since 1970 and
// nanoseconds), `outcome_id` (of the outcome that the event is) and further properties, which may be
// null. Missing users and items are made. `event_ids` names those that were counted; `beyond` those
// of interactions whose sum of values is now larger than `limit` either way, for which the caller
// has to roll back. What somebody wrote by hand into an interaction and cannot be read is missing,
// and replaced; of a sum then counts what the ledger has.
// mode: write
// params: rows: list[map], limit: float
// returns: counted: int, event_ids: list[str], beyond: list[str]
UNWIND $rows AS candidate
WITH candidate.event_id AS event_id, head(collect(candidate)) AS row
ORDER BY event_id
WITH event_id, row,
     CASE WHEN row.at IS NOT NULL
       THEN datetime({epochSeconds: row.at[0], nanosecond: row.at[1]}) END AS at
MERGE (entry:Event {event_id: event_id})
ON CREATE SET
  entry.user_id = row.user_id, entry.item_id = row.item_id, entry.at = at,
  entry.outcome_id = row.outcome_id, entry.uncounted = true
WITH entry, row, at
WHERE entry.uncounted = true
REMOVE entry.uncounted
WITH collect({row: row, at: at}) AS found
CALL (found) {
  UNWIND found AS event
  WITH DISTINCT event.row.user_id AS user_id
  ORDER BY user_id
  MERGE (:User {user_id: user_id})
  RETURN count(*) AS users
}
CALL (found) {
  UNWIND found AS event
  WITH DISTINCT event.row.item_id AS item_id
  ORDER BY item_id
  MERGE (:Item {item_id: item_id})
  RETURN count(*) AS items
}
CALL (found) {
  UNWIND found AS event
  WITH event.row AS row, event.at AS at
  ORDER BY at IS NOT NULL, at, row.value IS NOT NULL, row.value
  WITH row.user_id AS user_id, row.item_id AS item_id, row.event AS event,
       count(*) AS added_count,
       sum(round(toFloat(coalesce(row.value, 1)), 6)) AS added_weight,
       min(at) AS first_at, last(collect(at)) AS last_at, last(collect(row)) AS newest,
       collect(row.event_id) AS added_ids
  MATCH (u:User {user_id: user_id})
  MATCH (i:Item {item_id: item_id})
  MERGE (u)-[r:INTERACTED {event: event}]->(i)
  WITH *,
       CASE WHEN 0 <= r.ledger_count <= 1e12 THEN toInteger(r.ledger_count) END AS ledger_count,
       CASE WHEN -$limit <= r.ledger_weight <= $limit
         THEN toFloat(r.ledger_weight) END AS ledger_weight,
       CASE WHEN r.first_at IS :: ZONED DATETIME THEN r.first_at END AS stored_first_at,
       CASE WHEN r.last_at IS :: ZONED DATETIME THEN r.last_at END AS stored_last_at,
       CASE WHEN -$limit <= r.value <= $limit THEN toFloat(r.value) END AS stored_value
  WITH *,
       CASE
         WHEN last_at = stored_last_at OR (last_at IS NULL AND stored_last_at IS NULL)
           THEN coalesce(newest.value > stored_value, stored_value IS NULL)
         ELSE coalesce(last_at > stored_last_at, stored_last_at IS NULL)
       END AS newer
  SET r.count = added_count
        + CASE WHEN 0 <= r.count <= 1e12 THEN toInteger(r.count) ELSE coalesce(ledger_count, 0) END,
      r.weight = round(added_weight + CASE
        WHEN -$limit <= r.weight <= $limit THEN r.weight ELSE coalesce(ledger_weight, 0.0) END, 6),
      r.ledger_count = coalesce(ledger_count, 0) + added_count,
      r.ledger_weight = round(coalesce(ledger_weight, 0.0) + added_weight, 6),
      r.first_at = CASE
        WHEN stored_first_at IS NULL OR first_at < stored_first_at THEN first_at
        ELSE stored_first_at END,
      r.value = CASE WHEN newer THEN toFloat(newest.value) ELSE stored_value END,
      r.last_at = CASE WHEN newer THEN last_at ELSE stored_last_at END
  SET r += CASE WHEN newer THEN coalesce(newest.properties, {}) ELSE {} END
  WITH r, added_ids
  // NaN is no sum within a limit either.
  WHERE NOT (abs(r.weight) <= $limit AND abs(r.ledger_weight) <= $limit)
  RETURN collect(added_ids) AS beyond
}
RETURN size(found) AS counted, [event IN found | event.row.event_id] AS event_ids,
       reduce(ids = [], added_ids IN beyond | ids + added_ids) AS beyond
