// What was shown to a user, and what followed?
// The newest answers first, each with the items that something was told of. Empty where no outcome
// of the user was told.
// mode: read
// params: user_id: str, limit: int
// returns: answered_at: datetime, answer: str, version: int, position: int, item_id: str, title: str, kinds: list[str]
MATCH (o:Outcome {user_id: $user_id})
WITH o.answered_at AS answered_at, o.recommendation AS answer, o.version AS version,
     o.position AS position, o.item_id AS item_id, o.kind AS kind
ORDER BY answered_at DESC, answer, position, kind
WITH answered_at, answer, version, position, item_id, collect(DISTINCT kind) AS kinds
ORDER BY answered_at DESC, answer, position
LIMIT $limit
MATCH (item:Item {item_id: item_id})
RETURN answered_at, answer, version, position, item.item_id AS item_id, item.title AS title, kinds
ORDER BY answered_at DESC, answer, position
