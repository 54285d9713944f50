// The next nodes labelled User, in the database's own order: their ids, what the database calls
// them inside, and how many INTERACTED they have.
// mode: read
// params: after: str, limit: int
// returns: ids: list[str], nodes: list[int], degrees: list[int]
MATCH (n:User)
WHERE n.user_id > $after
WITH n
ORDER BY n.user_id
LIMIT $limit
RETURN collect(n.user_id) AS ids, collect(id(n)) AS nodes,
       collect(COUNT { (n)-[:INTERACTED]->() }) AS degrees
