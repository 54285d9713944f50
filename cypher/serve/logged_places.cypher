// Places of answers that users were shown from a time on, under a scenario or, where its name is
// empty, under none: the chance of each item at its place, and 1 where a kind of outcome followed,
// else 0. A chance below 1e-9 was put by hand: none is that small. Looks at the newest outcomes, as
// many as `limit`.
// mode: read
// params: scenario: str, kind: str, since: datetime, limit: int
// returns: recommendation: str, user_id: str, item_id: str, position: int, propensity: float, answered_at: datetime, reward: float
MATCH (o:Outcome)
WHERE o.at >= $since AND o.answered_at >= $since AND coalesce(o.scenario, '') = $scenario
  AND o.user_id IS :: STRING NOT NULL AND o.kind IN ['impression', $kind]
  AND o.item_id IS :: STRING NOT NULL AND o.recommendation IS :: STRING NOT NULL
  AND o.position IS :: INTEGER NOT NULL AND 1 <= o.position <= 100
  AND CASE WHEN o.answered_at IS :: ZONED DATETIME NOT NULL THEN o.answered_at.year < 9999
        ELSE false END
WITH o ORDER BY o.at DESC LIMIT $limit
WITH o.recommendation AS recommendation, o.user_id AS user_id, o.item_id AS item_id,
     o.position AS position, o.propensity AS propensity, o.answered_at AS answered_at,
     collect(DISTINCT o.kind) AS kinds
WHERE 'impression' IN kinds AND 1e-9 <= propensity <= 1.0
RETURN recommendation, user_id, item_id, position, toFloat(propensity) AS propensity, answered_at,
       CASE WHEN $kind IN kinds THEN 1.0 ELSE 0.0 END AS reward
