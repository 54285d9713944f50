// What some users did, as flat lists, one record for each kind of event. An unknown time is NaN; so
// is a weight that cannot be read, and that of an event that cannot be. The end nodes are not asked
// for their label: only items' ids are looked up afterwards.
// mode: read
// params: ids: list[str]
// returns: event: str, sources: list[int], targets: list[int], weights: list[float],
//   times: list[float]
MATCH (user:User)-[r:INTERACTED]->(item)
WHERE user.user_id IN $ids
WITH user, item, coalesce(r.event, 'interaction') AS event, coalesce(r.weight, 1.0) AS weight,
     CASE WHEN r.last_at IS :: ZONED DATETIME THEN r.last_at.epochMillis END AS millis
RETURN CASE WHEN event IS :: STRING THEN event ELSE '' END AS event,
       collect(id(user)) AS sources, collect(id(item)) AS targets,
       collect(CASE WHEN -1e6 <= weight <= 1e6 AND event IS :: STRING
                 THEN toFloat(weight) ELSE 0.0 / 0.0 END) AS weights,
       collect(coalesce(millis / 1000.0, 0.0 / 0.0)) AS times
