// Deletes the first changes of the feed that are from before a time, at most so many: again until
// none is left.
// mode: write
// params: before: datetime, limit: int
// returns: dropped: int
MATCH (feed:ChangeFeed {name: 'changes'})
MATCH (c:Change)
WHERE c.position > feed.pruned
WITH feed, c
ORDER BY c.position
LIMIT $limit
WITH feed, collect(c) AS first
WITH feed, first, head([c IN first WHERE NOT c.at < $before]) AS kept
WITH feed, [c IN first WHERE kept IS NULL OR c.position < kept.position] AS old
SET feed.pruned = coalesce(last(old).position, feed.pruned)
FOREACH (c IN old | DELETE c)
RETURN size(old) AS dropped
