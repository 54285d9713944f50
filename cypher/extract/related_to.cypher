// Items related to items, for some start nodes, as flat lists; the weights of the kinds of
// one pair are added up.
// mode: read
// params: ids: list[str]
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:Item)-[r:RELATED_TO]->(target:Item)
WHERE source.item_id IN $ids
WITH source, target, sum(toFloat(coalesce(r.weight, 1.0))) AS weight
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets, collect(weight) AS weights
