// All that is known about some users: what they did (newest and strongest first), whom they
// follow, what they prefer.
// mode: read
// params: user_ids: list[str], limit: int, seen_limit: int
// returns: user_id: str, interactions: list[list[any]], follows: list[list[any]], prefers: list[list[any]]
MATCH (user:User)
WHERE user.user_id IN $user_ids
RETURN
  user.user_id AS user_id,
  COLLECT {
    MATCH (user)-[r:INTERACTED]->(item:Item)
    RETURN [item.item_id, r.event, toFloat(coalesce(r.weight, 1.0)),
            r.last_at.epochMillis / 1000.0]
    ORDER BY coalesce(r.last_at.epochMillis, 0) DESC, r.weight DESC, item.item_id, r.event
    LIMIT $seen_limit
  } AS interactions,
  COLLECT {
    MATCH (user)-[:FOLLOWS]->(other:User)
    RETURN [other.user_id, toString(other.name), COUNT { (other)-[:INTERACTED]->() }]
    ORDER BY other.user_id
    LIMIT $limit
  } AS follows,
  COLLECT {
    MATCH (user)-[r:PREFERS]->(category:Category)
    RETURN [category.category_id, toFloat(coalesce(r.weight, 1.0)), toString(category.name),
            toStringOrNull(category.kind)]
    ORDER BY r.weight DESC, category.category_id
    LIMIT $limit
  } AS prefers
