// The first 100 characters of the value of a property of some users; '' stands for none that can be read.
// mode: read
// params: property: str, user_ids: list[str]
// returns: user_id: str, value: str
MATCH (user:User)
WHERE user.user_id IN $user_ids
RETURN user.user_id AS user_id, left(coalesce(nullIf(toStringOrNull(user[$property]), 'NaN'), ''), 100) AS value
