// What is in the feed after a position, in its order; the last position that was given, and the
// last of those whose changes are not kept any more.
// mode: read
// params: after: int, limit: int
// returns: last: int, pruned: int, changes: list[map]
OPTIONAL MATCH (feed:ChangeFeed {name: 'changes'})
WITH coalesce(max(feed.last), 0) AS last, coalesce(max(feed.pruned), 0) AS pruned
CALL () {
  MATCH (c:Change)
  WHERE c.position > $after
  WITH c
  ORDER BY c.position
  LIMIT $limit
  RETURN collect(properties(c)) AS changes
}
RETURN last, pruned, changes
