// Categories users prefer, for some start nodes, as flat lists.
// A weight that cannot be read is NaN.
// mode: read
// params: ids: list[str]
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:User)-[r:PREFERS]->(target:Category)
WHERE source.user_id IN $ids
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets,
       collect(CASE WHEN -1e6 <= coalesce(r.weight, 1.0) <= 1e6
                 THEN toFloat(coalesce(r.weight, 1.0)) ELSE 0.0 / 0.0 END) AS weights
