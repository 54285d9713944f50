// Deletes outcomes of a user or of an item, at most so many: again until none is left.
// mode: autocommit
// each: key = user_id | item_id
// params: id: str, limit: int
// returns: dropped: int
MATCH (o:Outcome {<<key>>: $id})
WITH o LIMIT $limit
DELETE o
RETURN count(*) AS dropped
