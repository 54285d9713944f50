// Sums over what each of some users did, by which a change shows: which items (a number made
// of each item's inside name), how strong, when (milliseconds).
// mode: read
// params: ids: list[str]
// returns: users: list[int], items: list[int], weights: list[float], times: list[int]
MATCH (user:User)-[r:INTERACTED]->(item)
WHERE user.user_id IN $ids
WITH user, sum(id(item) * (1 + id(item) % 1009)) AS items,
     sum(toFloat(coalesce(r.weight, 1.0))) AS weight, sum(coalesce(r.last_at.epochMillis, 0)) AS time
RETURN collect(id(user)) AS users, collect(items) AS items, collect(weight) AS weights,
       collect(time) AS times
