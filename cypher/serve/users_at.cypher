// Some users, in no particular order, from a place among all of them.
// mode: read
// params: place: int, limit: int
// returns: id: str, title: str, count: int
MATCH (user:User)
WHERE user.user_id IS :: STRING NOT NULL
WITH user
SKIP $place
LIMIT $limit
RETURN user.user_id AS id, nullIf(toStringOrNull(user.name), 'NaN') AS title,
       COUNT {
         MATCH (user)-[:INTERACTED]->(item:Item)
         WHERE item.item_id IS :: STRING NOT NULL
         RETURN DISTINCT item
       } AS count
