// What a user had done with items before a moment and did again since, with the first time in Unix
// seconds.
// mode: read
// params: user_id: str, moment: datetime
// returns: item_id: str, event: str, first_at: float
MATCH (:User {user_id: $user_id})-[r:INTERACTED]->(item:Item)
WITH item, coalesce(r.event, 'interaction') AS event, r.first_at AS first_at, r.last_at AS last_at
WHERE first_at < $moment AND last_at >= $moment
  AND event IS :: STRING NOT NULL AND item.item_id IS :: STRING NOT NULL
RETURN item.item_id AS item_id, event, first_at.epochMillis / 1000.0 AS first_at
