// Sums over the users of each variant of a revision of an experiment, n being how many items a user
// was shown and y how many of these the kind of outcome followed for; by the value of a property of
// users, where one is named, of which the first 100 characters count: of the `limit` values with the
// most users, and `values` is how many there are. No outcome of this revision is from before `since`,
// in seconds since 1970.
// mode: read
// params: name: str, revision: int, kind: str, segment: str, since: int, limit: int
// returns: variant: str, value: str, values: int, users: int, responding: int, shown: float, followed: float, shown_squared: float, shown_followed: float, followed_squared: float
MATCH (o:Outcome)
WHERE o.at >= datetime({epochSeconds: $since}) AND o.experiment = $name
  AND o.experiment_revision = $revision
  AND o.variant IS :: STRING NOT NULL AND o.user_id IS :: STRING NOT NULL
  AND o.kind IN ['impression', $kind]
WITH o.variant AS variant, o.user_id AS user_id, o.recommendation AS answer, o.item_id AS item_id,
     collect(DISTINCT o.kind) AS kinds
WHERE 'impression' IN kinds
WITH variant, user_id, count(*) AS n, sum(CASE WHEN $kind IN kinds THEN 1.0 ELSE 0.0 END) AS y
OPTIONAL MATCH (user:User {user_id: user_id})
WHERE $segment <> ''
WITH variant, n, y, left(coalesce(nullIf(toStringOrNull(user[$segment]), 'NaN'), ''), 100) AS value
WITH variant, value, {users: count(*), responding: sum(CASE WHEN y > 0.0 THEN 1 ELSE 0 END),
     shown: toFloat(sum(n)), followed: sum(y), shown_squared: toFloat(sum(n * n)),
     shown_followed: sum(n * y), followed_squared: sum(y * y)} AS sums
ORDER BY variant
WITH value, sum(sums.users) AS users, collect({variant: variant, sums: sums}) AS parts
ORDER BY users DESC, value
WITH collect({value: value, parts: parts}) AS found
UNWIND found[..$limit] AS each
UNWIND each.parts AS part
RETURN part.variant AS variant, each.value AS value, size(found) AS values,
       part.sums.users AS users, part.sums.responding AS responding, part.sums.shown AS shown,
       part.sums.followed AS followed, part.sums.shown_squared AS shown_squared,
       part.sums.shown_followed AS shown_followed, part.sums.followed_squared AS followed_squared
