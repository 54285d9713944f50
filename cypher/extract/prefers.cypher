// Categories users prefer, for a range of start nodes, as flat lists.
// mode: read
// params: first: str, last: str
// returns: sources: list[str], targets: list[str], weights: list[float]
MATCH (source:User)-[r:PREFERS]->(target:Category)
WHERE $first <= source.user_id <= $last
RETURN collect(source.user_id) AS sources, collect(target.category_id) AS targets,
       collect(toFloat(coalesce(r.weight, 1.0))) AS weights
