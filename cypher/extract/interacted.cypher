// What a range of users did, as flat lists. An unknown time is NaN.
// mode: read
// params: first: str, last: str
// returns: sources: list[str], targets: list[str], events: list[str], weights: list[float],
//   times: list[float]
MATCH (user:User)-[r:INTERACTED]->(item:Item)
WHERE $first <= user.user_id <= $last
RETURN collect(user.user_id) AS sources, collect(item.item_id) AS targets,
       collect(r.event) AS events, collect(toFloat(coalesce(r.weight, 1.0))) AS weights,
       collect(coalesce(r.last_at.epochMillis / 1000.0, 0.0 / 0.0)) AS times
