// Who would see this item?
// People without it who have the most of the items that list it among their nearest; `score` is
// the sum of the cosines. Empty where the item is hidden, where no version of the model is active,
// or where no list has the item.
// mode: read
// params: item_id: str, model: str, limit: int
// returns: user_id: str, name: str, items: int, score: float
MATCH (item:Item {item_id: $item_id})<-[near:SIMILAR {model: $model}]-(other:Item)
WHERE coalesce(item.available, true) = true AND near.score IS :: INTEGER NOT NULL | FLOAT NOT NULL
MATCH (other)<-[:INTERACTED]-(user:User)
WITH DISTINCT item, near, other, user
WITH item, user, count(*) AS items, sum(near.score) AS score
ORDER BY round(score, 9) DESC, user.user_id
WHERE NOT EXISTS { (user)-[:INTERACTED]->(item) }
RETURN user.user_id AS user_id, user.name AS name, items, score
LIMIT $limit
