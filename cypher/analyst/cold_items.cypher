// Which items are cold, and why?
// Items that few people have, with what else keeps them from being recommended. Empty where every
// item has more than `most_people` people.
// mode: read
// params: model: str, most_people: int, limit: int
// returns: item_id: str, title: str, people: int, reasons: list[str]
OPTIONAL MATCH (version:EmbeddingVersion {model: $model, status: 'active'})
WITH 'embedding_' + version.model + '_' + version.slot AS vector, version.started_at AS refreshed
MATCH (item:Item)
WITH item, vector, refreshed,
     COUNT { MATCH (item)<-[:INTERACTED]-(user) RETURN DISTINCT user } AS people
WHERE people <= $most_people
WITH item, people, [reason IN [
  CASE WHEN people = 0 THEN 'nobody has it' END,
  CASE WHEN NOT EXISTS { (item)-[:IN_CATEGORY]->() } THEN 'in no category' END,
  CASE WHEN vector IS NULL OR item[vector] IS NULL THEN 'no vector' END,
  CASE WHEN NOT EXISTS { (item)<-[:SIMILAR {model: $model}]-() } THEN 'near no other item' END,
  CASE WHEN coalesce(item.available, true) <> true THEN 'not available' END,
  CASE WHEN item.created_at > refreshed THEN 'newer than the last refresh' END
] WHERE reason IS NOT NULL] AS reasons
ORDER BY size(reasons) DESC, people, item.item_id
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, people, reasons
