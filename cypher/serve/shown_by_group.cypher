// How often items were shown from a time on to users of each value of a property, of which the first 100 characters
// count: the numbers of the items, the value that was shown most first; '' stands for sessions, and for no value that
// can be read.
// mode: read
// params: property: str, since: datetime, limit: int
// returns: value: str, counts: list[int]
MATCH (o:Outcome)
WHERE o.at >= $since AND o.kind = 'impression' AND o.item_id IS :: STRING NOT NULL
WITH o.user_id AS user_id, o.item_id AS item_id, count(*) AS number
OPTIONAL MATCH (user:User {user_id: user_id})
WITH left(coalesce(nullIf(toStringOrNull(user[$property]), 'NaN'), ''), 100) AS value, item_id, sum(number) AS number
WITH value, collect(number) AS counts, sum(number) AS places
RETURN value, counts
ORDER BY places DESC, value
LIMIT $limit
