// Puts changes at the end of the feed, in the transaction that makes them. Positions are whole
// numbers without a gap: a transaction holds the lock of all writers when it takes the next ones,
// and gives them back where it is rolled back. Each row has `change` and what else is told.
// mode: write
// params: rows: list[map]
MERGE (feed:ChangeFeed {name: 'changes'})
ON CREATE SET feed.last = 0, feed.pruned = 0
WITH feed, feed.last AS last
SET feed.last = last + size($rows)
WITH last
UNWIND range(1, size($rows)) AS place
CREATE (c:Change)
SET c = $rows[place - 1], c.position = last + place, c.at = datetime()
