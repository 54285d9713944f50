// What users did whose inside ids are in a range, as a table. What cannot be read is left out.
// mode: read
// params: scriptResult: list[map]
// returns: user_id: str, item_id: str, event: str, value: float, millis: int
MATCH (user:User)-[r:INTERACTED]->(item:Item)
WHERE $scriptResult[0].low <= id(user) < $scriptResult[0].high
  AND user.user_id > '' AND item.item_id > ''
WITH user, item, coalesce(r.event, 'interaction') AS event, coalesce(r.weight, 1.0) AS weight,
     CASE WHEN r.last_at IS :: ZONED DATETIME THEN r.last_at.epochMillis END AS millis
WHERE event IS :: STRING AND -1e6 <= weight <= 1e6
RETURN user.user_id AS user_id, item.item_id AS item_id, event, toFloat(weight) AS value, millis
