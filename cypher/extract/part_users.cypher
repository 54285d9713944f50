// The ids of users whose inside ids are in a range, as a table.
// mode: read
// params: scriptResult: list[map]
// returns: user_id: str
MATCH (n:User)
WHERE $scriptResult[0].low <= id(n) < $scriptResult[0].high AND n.user_id > ''
RETURN n.user_id AS user_id
