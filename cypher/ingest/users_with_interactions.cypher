// Those of some users who have any interaction in the graph.
// mode: read
// params: user_ids: list[str]
// returns: user_ids: list[str]
UNWIND $user_ids AS user_id
MATCH (u:User {user_id: user_id})
WHERE EXISTS { (u)-[:INTERACTED]->() }
RETURN collect(user_id) AS user_ids
