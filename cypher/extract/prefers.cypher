// Categories users prefer, for a range of start nodes, as flat lists.
// mode: read
// params: first: str, last: str
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:User)-[r:PREFERS]->(target:Category)
WHERE $first <= source.user_id <= $last
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets,
       collect(toFloat(coalesce(r.weight, 1.0))) AS weights
