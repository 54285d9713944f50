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
WITH user, item, whole, CASE WHEN whole THEN r.last_at ELSE r.first_at END AS at,
     coalesce(r.event, 'interaction') AS event, coalesce(r.weight, 1.0) AS weight
WHERE $since <= at < $until
RETURN CASE WHEN event IS :: STRING THEN event ELSE '' END AS event,
       collect(id(user)) AS sources, collect(id(item)) AS targets,
       collect(CASE WHEN NOT event IS :: STRING OR NOT coalesce(-1e6 <= weight <= 1e6, false)
                      THEN 0.0 / 0.0
                    WHEN whole THEN toFloat(weight) ELSE 1.0 END) AS weights,
       collect(at.epochMillis / 1000.0) AS times
