// Which items do few people have, and those love them?
// `love` is the mean share of a person's whole weight that the item has, over the people who have
// it: from `least_people` to `most_people`. A kind of event counts with its weight in `events`,
// the settings; one that speaks against items, or has no weight, not at all. Empty where no item
// has as few people as that.
// mode: read
// params: events: map, least_people: int, most_people: int, limit: int
// returns: item_id: str, title: str, people: int, love: float
MATCH (user:User)-[did:INTERACTED]->(item:Item)
WHERE -1e6 <= coalesce(did.weight, 1.0) <= 1e6 AND coalesce(did.event, '') IS :: STRING
WITH user, item, coalesce(did.weight, 1.0) *
     $events[replace(replace(replace(toLower(coalesce(did.event, 'interaction')),
                                     '-', ''), '_', ''), ' ', '')]['weight'] AS weight
WITH user, item, sum(CASE WHEN weight > 0 THEN weight ELSE 0.0 END) AS weight
WITH user, sum(weight) AS whole, collect({item: item, weight: weight}) AS all
UNWIND all AS one
WITH one.item AS item, count(*) AS people,
     avg(CASE WHEN whole > 0 THEN one.weight / whole ELSE 0.0 END) AS love
WHERE $least_people <= people <= $most_people
ORDER BY round(love, 12) DESC, item.item_id
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, people, love
