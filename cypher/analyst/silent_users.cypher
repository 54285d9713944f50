// Who was active and has gone silent?
// Users of `least_items` or more whose last event is `days` days or more before the newest one.
// Empty where no interaction has a time, or nobody is silent for so long.
// mode: read
// params: days: int, least_items: int, limit: int
// returns: user_id: str, name: str, items: int, last_at: datetime, silent_days: int
CALL () {
  MATCH (:User)-[did:INTERACTED]->(:Item)
  WHERE did.last_at IS :: ZONED DATETIME
  RETURN max(did.last_at) AS newest
}
MATCH (user:User)-[did:INTERACTED]->(item:Item)
WITH newest, user, max(CASE WHEN did.last_at IS :: ZONED DATETIME THEN did.last_at END) AS last_at,
     count(DISTINCT item) AS items
WHERE items >= $least_items AND last_at <= newest - duration({days: $days})
WITH user, items, last_at, duration.inDays(last_at, newest).days AS silent_days
ORDER BY items DESC, user.user_id
LIMIT $limit
RETURN user.user_id AS user_id, user.name AS name, items, last_at, silent_days
