// Users without an item who have most of some others, of each of which 200 users are looked at.
// mode: read
// params: item_id: str, other_ids: list[str], limit: int
// returns: user_id: str
MATCH (other:Item)
WHERE other.item_id IN $other_ids
CALL (other) {
  MATCH (other)<-[:INTERACTED]-(user:User)
  WHERE user.user_id IS :: STRING NOT NULL
    AND NOT EXISTS { (user)-[:INTERACTED]->(:Item {item_id: $item_id}) }
  WITH DISTINCT user
  LIMIT 200
  RETURN user
}
WITH user.user_id AS user_id, count(*) AS others
RETURN user_id
ORDER BY others DESC, user_id
LIMIT $limit
