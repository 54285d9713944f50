// What do people turn to after an item?
// `people` did something with it among the ten items that came next after they last did something
// with this one, `first` of them at the very next time. What was done at the same time does not
// follow. Empty where nobody did anything later, or no interaction has a time.
// mode: read
// params: item_id: str, limit: int
// returns: item_id: str, title: str, people: int, first: int
MATCH (item:Item {item_id: $item_id})<-[did:INTERACTED]-(person:User)
WHERE did.last_at IS :: ZONED DATETIME NOT NULL
WITH item, person, max(did.last_at) AS at
CALL (item, person, at) {
  MATCH (person)-[then:INTERACTED]->(other:Item)
  WHERE other <> item AND then.last_at IS :: ZONED DATETIME NOT NULL AND then.last_at > at
  WITH other, max(then.last_at) AS later
  ORDER BY later, other.item_id
  LIMIT 10
  RETURN collect([other, later]) AS followers
}
UNWIND followers AS follower
WITH follower[0] AS other, count(*) AS people,
     count(CASE WHEN follower[1] = followers[0][1] THEN 1 END) AS first
ORDER BY people DESC, first DESC, other.item_id
LIMIT $limit
RETURN other.item_id AS item_id, other.title AS title, people, first
