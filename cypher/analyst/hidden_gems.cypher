// Which items do few people have, and those love them?
// `love` is the mean share of a person's whole weight that the item has, over the people who have
// it: from `least_people` to `most_people`.
// mode: read
// params: least_people: int, most_people: int, limit: int
// returns: item_id: str, title: str, people: int, love: float
MATCH (user:User)-[did:INTERACTED]->(:Item)
WITH user, sum(toFloat(coalesce(did.weight, 1.0))) AS whole
WHERE whole > 0
MATCH (user)-[did:INTERACTED]->(item:Item)
WHERE $least_people <= COUNT { (item)<-[:INTERACTED]-() } <= $most_people
WITH item, count(DISTINCT user) AS people, sum(coalesce(did.weight, 1.0) / whole) AS love
WITH item, people, love / people AS love
ORDER BY love DESC, item.item_id
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, people, love
