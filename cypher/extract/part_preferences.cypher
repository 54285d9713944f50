// Categories that users prefer whose inside ids are in a range, as a table. What cannot be read is
// left out.
// mode: read
// params: scriptResult: list[map]
// returns: user_id: str, category_id: str, weight: float
MATCH (source:User)-[r:PREFERS]->(target:Category)
WHERE $scriptResult[0].low <= id(source) < $scriptResult[0].high
  AND source.user_id > '' AND target.category_id > ''
WITH source, target, coalesce(r.weight, 1.0) AS weight
WHERE -1e6 <= weight <= 1e6
RETURN source.user_id AS user_id, target.category_id AS category_id, toFloat(weight) AS weight
