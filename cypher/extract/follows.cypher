// Who follows whom, for some start nodes, as flat lists. Follows that began at `until` or later are
// left out, and those of users who follow themselves.
// mode: read
// params: ids: list[str], until: datetime
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:User)-[r:FOLLOWS]->(target:User)
WHERE source.user_id IN $ids AND coalesce(r.since < $until, true)
  AND source <> target
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets, collect(1.0) AS weights
