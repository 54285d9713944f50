// What does a user do most?
// A row for each item and kind of event. Empty where the user did nothing.
// mode: read
// params: user_id: str, limit: int
// returns: item_id: str, title: str, event: str, count: int, weight: float, last_at: datetime
MATCH (user:User {user_id: $user_id})-[did:INTERACTED]->(item:Item)
WITH did, item
ORDER BY did.weight DESC, item.item_id, did.event
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, did.event AS event, did.count AS count,
       did.weight AS weight, did.last_at AS last_at
