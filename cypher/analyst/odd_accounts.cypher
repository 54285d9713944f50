// Which accounts behave unlike people?
// Users of `least_weight` or more whose one item has nearly all of it: a player left running, or
// one who pushes an item. `share` is that of the strongest item. Empty where nobody has so much
// weight.
// mode: read
// params: least_weight: float, limit: int
// returns: user_id: str, item_id: str, title: str, items: int, weight: float, share: float
MATCH (user:User)-[did:INTERACTED]->(item:Item)
WHERE -1e6 <= coalesce(did.weight, 1.0) <= 1e6
WITH user, item, sum(toFloat(coalesce(did.weight, 1.0))) AS weight
ORDER BY weight DESC, item.item_id
WITH user, head(collect(item)) AS item, max(weight) AS most, sum(weight) AS weight,
     count(*) AS items
WHERE weight >= $least_weight AND items > 1
WITH *, most / weight AS share
ORDER BY share DESC, user.user_id
LIMIT $limit
RETURN user.user_id AS user_id, item.item_id AS item_id, item.title AS title, items, weight, share
