// Which items are nearest to an item, by the vector index?
// The index of the active version of a model. It is approximate; `SIMILAR` is exact. Where
// somebody dropped the index, Neo4j says that there is no such index, and the `degraded` of
// `/health/ready` has the statement that makes it. Empty where no version of the model is active,
// or the item has no vector, as where nobody has it.
// mode: read
// params: item_id: str, model: str, limit: int
// returns: item_id: str, title: str, cosine: float, people: int
MATCH (version:EmbeddingVersion {model: $model, status: 'active'})
MATCH (item:Item {item_id: $item_id})
WITH item, version.model + '_' + version.slot AS slot
WITH item, slot, item['embedding_' + slot] AS vector
WHERE vector IS :: LIST<FLOAT NOT NULL> NOT NULL AND any(x IN vector WHERE x <> 0)
CALL db.index.vector.queryNodes('item_embedding_' + slot, $limit + 1, vector) YIELD node, score
WHERE node <> item
RETURN node.item_id AS item_id, node.title AS title, 2 * score - 1 AS cosine,
       COUNT { MATCH (node)<-[:INTERACTED]-(user) RETURN DISTINCT user } AS people
ORDER BY cosine DESC, item_id
LIMIT $limit
