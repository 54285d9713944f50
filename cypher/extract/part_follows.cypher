// Whom users follow whose inside ids are in a range, as a table, without those who follow
// themselves.
// mode: read
// params: scriptResult: list[map]
// returns: follower_id: str, followee_id: str
MATCH (source:User)-[:FOLLOWS]->(target:User)
WHERE $scriptResult[0].low <= id(source) < $scriptResult[0].high
  AND source.user_id > '' AND target.user_id > '' AND source <> target
RETURN source.user_id AS follower_id, target.user_id AS followee_id
