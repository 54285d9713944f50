// Items that were tried out under a scenario and shown, with what was known of each, as JSON, and 1
// where a kind of outcome followed, else 0. Looks at the newest outcomes of all, as many as `limit`:
// so it takes no longer however many are kept.
// mode: read
// params: scenario: str, kind: str, limit: int
// returns: tried: str, reward: float
MATCH (o:Outcome)
WHERE o.at >= datetime({epochSeconds: 0})
WITH o ORDER BY o.at DESC LIMIT $limit
WITH o
WHERE o.scenario = $scenario AND o.tried IS :: STRING NOT NULL AND o.kind IN ['impression', $kind]
WITH o.recommendation AS answer, o.item_id AS item_id, min(o.tried) AS tried,
     collect(DISTINCT o.kind) AS kinds
WHERE 'impression' IN kinds
RETURN tried, CASE WHEN $kind IN kinds THEN 1.0 ELSE 0.0 END AS reward
