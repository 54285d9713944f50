// Sums over what each of a range of users did, by which a change shows: which items (a number made
// of each item's inside name), how strong, when (milliseconds).
// mode: read
// params: first: str, last: str
// returns: users: list[int], items: list[int], weights: list[float], times: list[int]
MATCH (user:User)-[r:INTERACTED]->(item)
WHERE $first <= user.user_id <= $last
WITH user, sum(id(item) * (1 + id(item) % 1009)) AS items,
     sum(toFloat(coalesce(r.weight, 1.0))) AS weight, sum(coalesce(r.last_at.epochMillis, 0)) AS time
RETURN collect(id(user)) AS users, collect(items) AS items, collect(weight) AS weights,
       collect(time) AS times
