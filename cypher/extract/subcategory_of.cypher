// Parents of categories, for a range of start nodes, as flat lists.
// mode: read
// params: first: str, last: str
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:Category)-[:SUBCATEGORY_OF]->(target:Category)
WHERE $first <= source.category_id <= $last
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets, collect(1.0) AS weights
