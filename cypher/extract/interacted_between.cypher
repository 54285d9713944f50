// What some users did from `since` on and before `until`, as flat lists, one record for each
// kind of event. Of an interaction that went on after `until`, only its first event is known to be
// before: it counts with weight 1 at that time. Interactions of unknown time are left out.
// mode: read
// params: ids: list[str], since: datetime, until: datetime
// returns: event: str, sources: list[int], targets: list[int], weights: list[float],
//   times: list[float]
MATCH (user:User)-[r:INTERACTED]->(item)
WHERE user.user_id IN $ids
WITH user, r, item, r.last_at < $until AS whole
WITH user, r, item, whole, CASE WHEN whole THEN r.last_at ELSE r.first_at END AS at
WHERE $since <= at < $until
RETURN coalesce(r.event, 'interaction') AS event,
       collect(id(user)) AS sources, collect(id(item)) AS targets,
       collect(CASE WHEN whole THEN toFloat(coalesce(r.weight, 1.0)) ELSE 1.0 END) AS weights,
       collect(at.epochMillis / 1000.0) AS times
