// How often each item was shown from a time on, those that were shown most.
// mode: read
// params: since: datetime, limit: int
// returns: item_id: str, places: int
MATCH (o:Outcome)
WHERE o.at >= $since AND o.kind = 'impression' AND o.item_id IS :: STRING NOT NULL
RETURN o.item_id AS item_id, count(*) AS places
ORDER BY places DESC, item_id
LIMIT $limit
