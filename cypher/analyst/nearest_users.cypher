// Who is nearest to a user, by the vector index?
// Where somebody dropped the index, Neo4j says that there is no such index, and the `degraded` of
// `/health/ready` has the statement that makes it.
// Empty where no version of the model is active, or the user has no vector, as where nothing they
// did speaks for an item.
// mode: read
// params: user_id: str, model: str, limit: int
// returns: user_id: str, name: str, cosine: float, items_in_common: int, followed: bool
MATCH (version:EmbeddingVersion {model: $model, status: 'active'})
MATCH (user:User {user_id: $user_id})
WITH user, version.model + '_' + version.slot AS slot
WITH user, slot, user['embedding_' + slot] AS vector
WHERE vector IS :: LIST<FLOAT NOT NULL> NOT NULL AND any(x IN vector WHERE x <> 0)
CALL db.index.vector.queryNodes('user_embedding_' + slot, $limit + 1, vector) YIELD node, score
WHERE node <> user
RETURN node.user_id AS user_id, node.name AS name, 2 * score - 1 AS cosine,
       COUNT { MATCH (user)-[:INTERACTED]->(item:Item)<-[:INTERACTED]-(node)
               RETURN DISTINCT item } AS items_in_common,
       EXISTS { (user)-[:FOLLOWS]->(node) } AS followed
ORDER BY cosine DESC, user_id
LIMIT $limit
