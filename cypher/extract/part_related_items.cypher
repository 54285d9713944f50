// Items related to items whose inside ids are in a range, as a table; the weights of the kinds of
// one pair are added up. A pair with one that cannot be read is left out.
// mode: read
// params: scriptResult: list[map]
// returns: item_id: str, related_id: str, weight: float
MATCH (source:Item)-[r:RELATED_TO]->(target:Item)
WHERE $scriptResult[0].low <= id(source) < $scriptResult[0].high
  AND source.item_id > '' AND target.item_id > ''
WITH source, target, sum(CASE WHEN -1e6 <= coalesce(r.weight, 1.0) <= 1e6
              THEN toFloat(coalesce(r.weight, 1.0)) ELSE 0.0 / 0.0 END) AS weight
WHERE NOT isNaN(weight)
RETURN source.item_id AS item_id, target.item_id AS related_id, weight
