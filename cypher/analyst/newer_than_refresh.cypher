// What came after the last refresh?
// Items without a vector of the active version of a model, and how many people have them: those
// that came later, and those that nobody had. Empty where no version of the model is active, or
// every item has a vector.
// mode: read
// params: model: str, limit: int
// returns: item_id: str, title: str, people: int, created_at: datetime
MATCH (version:EmbeddingVersion {model: $model, status: 'active'})
WITH 'embedding_' + version.model + '_' + version.slot AS vector
MATCH (item:Item)
WHERE item[vector] IS NULL
WITH item, COUNT { MATCH (item)<-[:INTERACTED]-(user) RETURN DISTINCT user } AS people
ORDER BY people DESC, item.item_id
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, people, item.created_at AS created_at
