// Categories of items, for a range of start nodes, as flat lists.
// mode: read
// params: first: str, last: str
// returns: sources: list[str], targets: list[str], weights: list[float]
MATCH (source:Item)-[r:IN_CATEGORY]->(target:Category)
WHERE $first <= source.item_id <= $last
RETURN collect(source.item_id) AS sources, collect(target.category_id) AS targets,
       collect(toFloat(coalesce(r.weight, 1.0))) AS weights
