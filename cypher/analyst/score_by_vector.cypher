// Which items would a model alone recommend to a user?
// The inner product of the user's vector and the item's, as they were written at the last refresh.
// The service makes the user's vector anew from what they did, so its signal differs a little.
// Empty where no version of the model is active, or the user has no vector.
// mode: read
// params: user_id: str, model: str, limit: int
// returns: item_id: str, title: str, score: float
MATCH (version:EmbeddingVersion {model: $model, status: 'active'})
MATCH (user:User {user_id: $user_id})
WITH user, 'embedding_' + version.model + '_' + version.slot AS vector
WITH user, vector, user[vector] AS own
WHERE own IS :: LIST<FLOAT NOT NULL> NOT NULL
MATCH (item:Item)
WITH user, own, item, item[vector] AS other
WHERE other IS :: LIST<FLOAT NOT NULL> NOT NULL AND size(other) = size(own)
WITH user, item, reduce(sum = 0.0, n IN range(0, size(own) - 1) | sum + own[n] * other[n]) AS score
ORDER BY score DESC, item.item_id
WHERE coalesce(item.available, true) = true AND NOT EXISTS { (user)-[:INTERACTED]->(item) }
RETURN item.item_id AS item_id, item.title AS title, score
LIMIT $limit
