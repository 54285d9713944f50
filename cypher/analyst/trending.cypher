// Which items are on the rise?
// People who did something with an item last within `days` days of the newest event, against those
// in as many days before. `rise` is (now + 1) / (before + 1). Empty where no interaction has a
// time.
// mode: read
// params: days: int, limit: int
// returns: item_id: str, title: str, now: int, before: int, rise: float
CALL () {
  MATCH (:User)-[did:INTERACTED]->(:Item)
  WHERE did.last_at IS :: ZONED DATETIME
  RETURN max(did.last_at) AS newest
}
WITH newest - duration({days: $days}) AS middle, newest - duration({days: 2 * $days}) AS first
MATCH (user:User)-[did:INTERACTED]->(item:Item)
WHERE did.last_at > first
WITH item, user, middle, max(did.last_at) AS last_at
WITH item, count(CASE WHEN last_at > middle THEN 1 END) AS now,
     count(CASE WHEN last_at <= middle THEN 1 END) AS before
WITH *, (now + 1.0) / (before + 1.0) AS rise
ORDER BY rise DESC, now DESC, item.item_id
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, now, before, rise
