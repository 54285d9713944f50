// Takes out of the feed what it says of a node, at most so many changes: again until none is left.
// Their positions stay, so that readers see no gap.
// mode: write
// each: key = user_id | other_id | item_id | category_id
// params: id: str, limit: int
// returns: dropped: int
MATCH (c:Change {<<key>>: $id})
WITH c LIMIT $limit
SET c = {position: c.position, at: c.at, change: 'removed'}
RETURN count(*) AS dropped
