// Sums over what each of some users did, by which a change shows: which items (a number made
// of each item's inside name), how strong, when (milliseconds).
// mode: read
// params: ids: list[str]
// returns: users: list[int], items: list[int], weights: list[float], times: list[int]
MATCH (user:User)-[r:INTERACTED]->(item)
WHERE user.user_id IN $ids
WITH user, sum(id(item) * (1 + id(item) % 1009)) AS items,
     sum(CASE WHEN -1e6 <= coalesce(r.weight, 1.0) <= 1e6 THEN toFloat(coalesce(r.weight, 1.0))
              ELSE 0.0 / 0.0 END) AS weight,
     sum(CASE WHEN r.last_at IS :: ZONED DATETIME THEN r.last_at.epochMillis ELSE 0 END) AS time
RETURN collect(id(user)) AS users, collect(items) AS items, collect(weight) AS weights,
       collect(time) AS times
