// Where do two models agree about what is near?
// Pairs that both list, for items that `least_people` or more have. Empty where one of the models
// has no lists, or they agree about nothing.
// mode: read
// params: model: str, other_model: str, least_people: int, limit: int
// returns: item_id: str, title: str, other_id: str, other_title: str, ranks: list[int]
MATCH (item:Item)
WHERE COUNT { MATCH (item)<-[:INTERACTED]-(user) RETURN DISTINCT user } >= $least_people
MATCH (item)-[one:SIMILAR {model: $model}]->(other:Item)
MATCH (item)-[two:SIMILAR {model: $other_model}]->(other)
WHERE 0 < one.rank <= 1e6 AND 0 < two.rank <= 1e6
WITH item, other, one, two
ORDER BY one.rank + two.rank, item.item_id, other.item_id
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, other.item_id AS other_id,
       other.title AS other_title, [one.rank, two.rank] AS ranks
