// Deletes outcomes from before a time in milliseconds since 1970, at most so many: again until none
// is left.
// mode: autocommit
// params: before: int, limit: int
// returns: dropped: int
MATCH (o:Outcome)
WHERE o.at < datetime({epochMillis: $before})
WITH o LIMIT $limit
DELETE o
RETURN count(*) AS dropped
