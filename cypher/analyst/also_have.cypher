// What else do the people of an item have, more than others?
// `lift` is how many times more often than all people do. Only items that `least_people` or more
// of them have. Empty where so many of them have no other item.
// mode: read
// params: item_id: str, least_people: int, limit: int
// returns: item_id: str, title: str, people: int, lift: float
MATCH (item:Item {item_id: $item_id})
CALL () {
  MATCH (:User)
  RETURN count(*) AS all
}
CALL (item) {
  MATCH (item)<-[:INTERACTED]-(person:User)
  WITH DISTINCT person
  RETURN collect(person) AS people
}
UNWIND people AS person
MATCH (person)-[:INTERACTED]->(other:Item)
WHERE other <> item
WITH other, all, size(people) AS own, count(DISTINCT person) AS people
WHERE people >= $least_people
WITH other, people, 1.0 * people / own * all /
     COUNT { MATCH (other)<-[:INTERACTED]-(anybody) RETURN DISTINCT anybody } AS lift
ORDER BY round(lift, 9) DESC, other.item_id
LIMIT $limit
RETURN other.item_id AS item_id, other.title AS title, people, lift
