// What some users did, as flat lists, one record for each kind of event. An unknown time is
// NaN. The end nodes are not asked for their label: only items' ids are looked up afterwards.
// mode: read
// params: ids: list[str]
// returns: event: str, sources: list[int], targets: list[int], weights: list[float],
//   times: list[float]
MATCH (user:User)-[r:INTERACTED]->(item)
WHERE user.user_id IN $ids
RETURN coalesce(r.event, 'interaction') AS event,
       collect(id(user)) AS sources, collect(id(item)) AS targets,
       collect(toFloat(coalesce(r.weight, 1.0))) AS weights,
       collect(coalesce(r.last_at.epochMillis / 1000.0, 0.0 / 0.0)) AS times
