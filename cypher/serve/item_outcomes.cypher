// How many outcomes of each kind an item has from a time on, those of most first.
// mode: read
// params: item_id: str, since: datetime, limit: int
// returns: kind: str, number: int
MATCH (o:Outcome {item_id: $item_id})
WHERE o.at >= $since AND o.kind IS :: STRING NOT NULL
RETURN o.kind AS kind, count(*) AS number
ORDER BY number DESC, kind
LIMIT $limit
