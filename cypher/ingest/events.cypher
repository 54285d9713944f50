// Counts events, each once for good: one whose `event_id` has an `(:Event)` already is left out,
// also when it stands twice in `rows` or another transaction brings it at the same moment.
// Each row has event_id, user_id, item_id, event, and value and timestamp, which may be null;
// timestamps are in UTC. Missing users and items are made. Everything is locked in one order
// (events, users, items), so that such transactions wait for each other instead of dead-locking;
// beside a load of tables one of the two may have to be run again, which is safe.
// mode: write
// params: rows: list[map]
// returns: counted: int
UNWIND $rows AS candidate
WITH candidate.event_id AS event_id, head(collect(candidate)) AS row
ORDER BY event_id
MERGE (entry:Event {event_id: event_id})
ON CREATE SET
  entry.user_id = row.user_id, entry.item_id = row.item_id, entry.at = row.timestamp,
  entry.uncounted = true
WITH entry, row
WHERE entry.uncounted
REMOVE entry.uncounted
WITH collect(row) AS rows
CALL (rows) {
  UNWIND rows AS row
  WITH DISTINCT row.user_id AS user_id
  ORDER BY user_id
  MERGE (u:User {user_id: user_id})
  SET u.locked = true
  REMOVE u.locked
  RETURN count(*) AS users
}
CALL (rows) {
  UNWIND rows AS row
  WITH DISTINCT row.item_id AS item_id
  ORDER BY item_id
  MERGE (i:Item {item_id: item_id})
  SET i.locked = true
  REMOVE i.locked
  RETURN count(*) AS items
}
CALL (rows) {
  UNWIND rows AS row
  WITH row
  ORDER BY row.timestamp IS NOT NULL, row.timestamp, row.value IS NOT NULL, row.value
  WITH row.user_id AS user_id, row.item_id AS item_id, row.event AS event,
       count(*) AS added_count,
       sum(round(toFloat(coalesce(row.value, 1)), 6)) AS added_weight,
       min(row.timestamp) AS first_at,
       last(collect(row)) AS newest
  MATCH (u:User {user_id: user_id})
  MATCH (i:Item {item_id: item_id})
  MERGE (u)-[r:INTERACTED {event: event}]->(i)
  // Takes the lock before the totals are read: a load of tables may be writing them.
  SET r.event = event
  WITH r, added_count, added_weight, first_at, newest,
       CASE
         WHEN newest.timestamp = r.last_at OR (newest.timestamp IS NULL AND r.last_at IS NULL)
           THEN coalesce(newest.value > r.value, r.value IS NULL)
         ELSE coalesce(newest.timestamp > r.last_at, r.last_at IS NULL)
       END AS newer
  SET r.count = coalesce(r.count, 0) + added_count,
      r.weight = round(coalesce(r.weight, 0.0) + added_weight, 6),
      r.ledger_count = coalesce(r.ledger_count, 0) + added_count,
      r.ledger_weight = round(coalesce(r.ledger_weight, 0.0) + added_weight, 6),
      r.first_at = CASE
        WHEN r.first_at IS NULL OR first_at < r.first_at THEN first_at ELSE r.first_at END,
      r.value = CASE WHEN newer THEN toFloat(newest.value) ELSE r.value END,
      r.last_at = CASE WHEN newer THEN newest.timestamp ELSE r.last_at END
  RETURN count(*) AS pairs
}
RETURN size(rows) AS counted
