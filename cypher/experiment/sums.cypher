// Sums over the users of each variant of an experiment, n being how many items a user was shown
// and y how many of these the kind of outcome followed for; by the value of a property of users,
// where one is named. Answers count from a time on, in seconds since 1970.
// mode: read
// params: name: str, kind: str, segment: str, since: int, limit: int
// returns: variant: str, value: str, users: int, responding: int, shown: float, followed: float, shown_squared: float, shown_followed: float, followed_squared: float
MATCH (o:Outcome)
WHERE o.at >= datetime({epochSeconds: $since})
  AND o.answered_at >= datetime({epochSeconds: $since}) AND o.experiment = $name
  AND o.variant IS :: STRING NOT NULL AND o.user_id IS :: STRING NOT NULL
  AND o.kind IN ['impression', $kind]
WITH o.variant AS variant, o.user_id AS user_id, o.recommendation AS answer, o.item_id AS item_id,
     collect(DISTINCT o.kind) AS kinds
WHERE 'impression' IN kinds
WITH variant, user_id, count(*) AS n, sum(CASE WHEN $kind IN kinds THEN 1.0 ELSE 0.0 END) AS y
OPTIONAL MATCH (user:User {user_id: user_id})
WHERE $segment <> ''
WITH variant, n, y, coalesce(nullIf(toStringOrNull(user[$segment]), 'NaN'), '') AS value
RETURN variant, value, count(*) AS users, sum(CASE WHEN y > 0.0 THEN 1 ELSE 0 END) AS responding,
       toFloat(sum(n)) AS shown, sum(y) AS followed, toFloat(sum(n * n)) AS shown_squared,
       sum(n * y) AS shown_followed, sum(y * y) AS followed_squared
ORDER BY users DESC, value, variant
LIMIT $limit
