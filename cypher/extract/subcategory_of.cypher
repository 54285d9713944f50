// Parents of categories, for some start nodes, as flat lists.
// mode: read
// params: ids: list[str]
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:Category)-[:SUBCATEGORY_OF]->(target:Category)
WHERE source.category_id IN $ids
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets, collect(1.0) AS weights
