// How often items were shown on each day (UTC) from a time on: the numbers of the items of each day, newest day first.
// mode: read
// params: since: datetime, limit: int
// returns: day: str, counts: list[int]
MATCH (o:Outcome)
WHERE o.at >= $since AND o.kind = 'impression' AND o.item_id IS :: STRING NOT NULL
WITH toString(date(datetime({epochMillis: o.at.epochMillis}))) AS day, o.item_id AS item_id, count(*) AS number
RETURN day, collect(number) AS counts
ORDER BY day DESC
LIMIT $limit
