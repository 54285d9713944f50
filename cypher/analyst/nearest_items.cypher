// Which items are nearest to an item, by the vector index?
// The index of the active version of a model. It is approximate; `SIMILAR` is exact.
// mode: read
// params: item_id: str, model: str, limit: int
// returns: item_id: str, title: str, cosine: float, people: int
MATCH (version:EmbeddingVersion {model: $model, status: 'active'})
MATCH (item:Item {item_id: $item_id})
WITH item, version.model + '_' + version.slot AS slot
WITH item, slot, item['embedding_' + slot] AS vector
WHERE vector IS NOT NULL
CALL db.index.vector.queryNodes('item_embedding_' + slot, $limit + 1, vector) YIELD node, score
WHERE node <> item
RETURN node.item_id AS item_id, node.title AS title, 2 * score - 1 AS cosine,
       COUNT { (node)<-[:INTERACTED]-() } AS people
ORDER BY cosine DESC, item_id
LIMIT $limit
