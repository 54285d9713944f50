// Which communities are there among those who follow each other?
// Label propagation (Raghavan, Albert & Kumara 2007) by four votes of everybody at once. A user
// begins with the name of the one with the most neighbours among their own and themselves, and a
// tie goes to the smaller name. `inside` is the share of follows that stay in the community, null
// where its people follow nobody. Empty where nobody follows anybody.
// mode: read
// params: limit: int
// returns: community: str, people: int, inside: float, items: list[str]
MATCH (user:User)
WITH user, COUNT { MATCH (user)-[:FOLLOWS]-(other) RETURN DISTINCT other } AS degree
WHERE degree > 0
ORDER BY degree DESC, user.user_id
CALL (user) {
  MATCH (user)-[:FOLLOWS]-(other:User)
  RETURN other
  UNION
  RETURN user AS other
}
// The rows come in the order of the users, so the first that names somebody has the highest rank.
WITH other AS user, head(collect(user.user_id)) AS label
MATCH (user)-[:FOLLOWS]-(other:User)
WITH other, label, count(DISTINCT user) AS votes
ORDER BY votes DESC, label
WITH other AS user, head(collect(label)) AS label
MATCH (user)-[:FOLLOWS]-(other:User)
WITH other, label, count(DISTINCT user) AS votes
ORDER BY votes DESC, label
WITH other AS user, head(collect(label)) AS label
MATCH (user)-[:FOLLOWS]-(other:User)
WITH other, label, count(DISTINCT user) AS votes
ORDER BY votes DESC, label
WITH other AS user, head(collect(label)) AS label
MATCH (user)-[:FOLLOWS]-(other:User)
WITH other, label, count(DISTINCT user) AS votes
ORDER BY votes DESC, label
WITH other AS user, head(collect(label)) AS label
WITH label, collect(user) AS members
ORDER BY size(members) DESC, label
LIMIT $limit
CALL (members) {
  UNWIND members AS member
  OPTIONAL MATCH (member)-[:FOLLOWS]->(other:User)
  WITH members, count(other) AS follows, sum(CASE WHEN other IN members THEN 1 ELSE 0 END) AS stay
  RETURN CASE WHEN follows > 0 THEN toFloat(stay) / follows END AS inside
}
CALL (members) {
  UNWIND members AS member
  MATCH (member)-[:INTERACTED]->(item:Item)
  WITH item, count(DISTINCT member) AS people
  ORDER BY people DESC, item.item_id
  LIMIT 3
  RETURN collect(coalesce(item.title, item.item_id)) AS items
}
RETURN label AS community, size(members) AS people, inside, items
ORDER BY people DESC, community
