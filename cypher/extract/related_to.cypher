// Items related to items, for some start nodes, as flat lists; the weights of the kinds of
// one pair are added up.
// mode: read
// params: ids: list[str]
// returns: sources: list[int], targets: list[int], weights: list[float]
MATCH (source:Item)-[r:RELATED_TO]->(target:Item)
WHERE source.item_id IN $ids
WITH source, target, sum(CASE WHEN -1e6 <= coalesce(r.weight, 1.0) <= 1e6
              THEN toFloat(coalesce(r.weight, 1.0)) ELSE 0.0 / 0.0 END) AS weight
RETURN collect(id(source)) AS sources, collect(id(target)) AS targets, collect(weight) AS weights
