// Who follows whom, for a range of start nodes, as flat lists.
// mode: read
// params: first: str, last: str
// returns: sources: list[str], targets: list[str], weights: list[float]
MATCH (source:User)-[:FOLLOWS]->(target:User)
WHERE $first <= source.user_id <= $last
RETURN collect(source.user_id) AS sources, collect(target.user_id) AS targets,
       collect(1.0) AS weights
