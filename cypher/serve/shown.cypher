// Which items were shown to a user lately and not acted on since: how often, and how often by a
// weight that halves with time. Looks at the newest `limit` outcomes from `since` on; times are
// milliseconds since 1970, and what is to come is now. A dismissal counts as being shown; every other
// kind is an action.
// mode: read
// params: user_id: str, shown: list[str], since: int, now: int, half_life: float, limit: int
// returns: item_id: str, count: int, weight: float
MATCH (o:Outcome)
WHERE o.user_id = $user_id AND o.at >= datetime({epochMillis: $since})
  AND o.item_id IS :: STRING NOT NULL
WITH o ORDER BY o.at DESC LIMIT $limit
WITH o.item_id AS item_id, o.kind IN $shown AS shown,
     CASE WHEN o.at.epochMillis < $now THEN o.at.epochMillis ELSE $now END AS at
WITH item_id, max(CASE WHEN NOT shown THEN at END) AS acted,
     collect(CASE WHEN shown THEN at END) AS times
WITH item_id, [at IN times WHERE acted IS NULL OR at > acted] AS times
WHERE size(times) > 0
RETURN item_id, size(times) AS count,
       reduce(weight = 0.0, at IN times | weight + 2.0 ^ (-1.0 * ($now - at) / $half_life)) AS weight
