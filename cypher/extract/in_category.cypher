// Categories of items, for some start nodes, as flat lists.
// mode: read
// params: ids: list[str]
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:Item)-[r:IN_CATEGORY]->(target:Category)
WHERE source.item_id IN $ids
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets,
       collect(toFloat(coalesce(r.weight, 1.0))) AS weights
