// Parents of categories, for a range of start nodes, as flat lists.
// mode: read
// params: first: str, last: str
// returns: sources: list[str], targets: list[str], weights: list[float]
MATCH (source:Category)-[:SUBCATEGORY_OF]->(target:Category)
WHERE $first <= source.category_id <= $last
RETURN collect(source.category_id) AS sources, collect(target.category_id) AS targets,
       collect(1.0) AS weights
