// All that is known about some users: what they did (newest and strongest first), whom they
// follow, what they prefer. Of a followed user who took something back the number of interactions
// is -2: equal numbers would not say that they are the same. (Neo4j warns of a property by name
// that no node has yet.) The last entry of each is the database's own id of what cannot be read,
// null where all of it can; the weight of a relationship that cannot be read is null.
// mode: read
// params: user_ids: list[str], limit: int, seen_limit: int
// returns: user_id: str, inside: str, interactions: list[list[any]], follows: list[list[any]], prefers: list[list[any]]
MATCH (user:User)
WHERE user.user_id IN $user_ids
RETURN
  user.user_id AS user_id, elementId(user) AS inside,
  COLLECT {
    MATCH (user)-[r:INTERACTED]->(item:Item)
    WITH r, item, coalesce(r.event, 'interaction') AS event, coalesce(r.weight, 1.0) AS weight,
         CASE WHEN r.last_at IS :: ZONED DATETIME THEN r.last_at.epochMillis END AS millis
    WITH r, item, event, millis, CASE
      WHEN -1e6 <= weight <= 1e6 AND event IS :: STRING NOT NULL
        AND item.item_id IS :: STRING NOT NULL THEN toFloat(weight) END AS weight
    RETURN [item.item_id, event, weight, millis / 1000.0, nullIf(toStringOrNull(item.title), 'NaN'),
            CASE WHEN weight IS NULL OR NOT r.last_at IS :: ZONED DATETIME THEN elementId(r) END]
    ORDER BY coalesce(millis, 0) DESC, weight DESC, item.item_id, event
    LIMIT $seen_limit
  } AS interactions,
  COLLECT {
    MATCH (user)-[r:FOLLOWS]->(other:User)
    WHERE other <> user
    RETURN [other.user_id, nullIf(toStringOrNull(other.name), 'NaN'),
            CASE WHEN 'retracted_at' IN keys(other) THEN -2 ELSE COUNT { (other)-[:INTERACTED]->() } END,
            CASE WHEN NOT other.user_id IS :: STRING NOT NULL THEN elementId(other) END]
    ORDER BY other.user_id
    LIMIT $limit
  } AS follows,
  COLLECT {
    MATCH (user)-[r:PREFERS]->(category:Category)
    WITH r, category, coalesce(r.weight, 1.0) AS weight
    WITH r, category, CASE WHEN -1e6 <= weight <= 1e6 AND category.category_id IS :: STRING NOT NULL
                        THEN toFloat(weight) END AS weight
    RETURN [category.category_id, weight, nullIf(toStringOrNull(category.name), 'NaN'),
            nullIf(toStringOrNull(category.kind), 'NaN'),
            CASE WHEN weight IS NULL THEN elementId(r) END]
    ORDER BY weight DESC, category.category_id
    LIMIT $limit
  } AS prefers
