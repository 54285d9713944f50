// Who follows whom, for a range of start nodes, as flat lists. Whoever began to follow at `until`
// or later is left out.
// mode: read
// params: first: str, last: str, until: datetime
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:User)-[r:FOLLOWS]->(target:User)
WHERE $first <= source.user_id <= $last AND coalesce(r.since < $until, true)
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets, collect(1.0) AS weights
