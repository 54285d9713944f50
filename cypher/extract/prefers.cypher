// Categories users prefer, for some start nodes, as flat lists.
// mode: read
// params: ids: list[str]
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:User)-[r:PREFERS]->(target:Category)
WHERE source.user_id IN $ids
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets,
       collect(toFloat(coalesce(r.weight, 1.0))) AS weights
