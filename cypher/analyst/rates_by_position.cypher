// How often is an item acted on, by its place in the list?
// Of the items that were shown (an outcome `impression`) in the last `days` days, the share for
// which the same answer also has an outcome of the given kind. Empty where nothing was shown.
// mode: read
// params: kind: str, days: int
// returns: position: int, shown: int, acted: int, rate: float
MATCH (o:Outcome)
WHERE o.at >= datetime() - duration({days: $days}) AND o.kind IN ['impression', $kind]
WITH o.recommendation AS answer, o.item_id AS item_id, o.position AS position,
     collect(DISTINCT o.kind) AS kinds
WHERE 'impression' IN kinds
WITH position, count(*) AS shown, sum(CASE WHEN $kind IN kinds THEN 1 ELSE 0 END) AS acted
RETURN position, shown, acted, toFloat(acted) / shown AS rate
ORDER BY position
