// What is wrong with the data?
// How often each fault is there, and one id that has it. A category has the items of those below
// it; names are compared among categories of one kind.
// mode: read
// returns: fault: str, count: int, example: str
CALL () {
  MATCH (n:Item) WHERE coalesce(trim(toStringOrNull(n.title)), '') = ''
  RETURN 'item without a title' AS fault, count(*) AS count, min(n.item_id) AS example
  UNION ALL
  MATCH (n:Item) WHERE NOT EXISTS { (n)-[:IN_CATEGORY]->() }
  RETURN 'item in no category' AS fault, count(*) AS count, min(n.item_id) AS example
  UNION ALL
  MATCH (n:Item) WHERE NOT EXISTS { (n)<-[:INTERACTED]-() }
  RETURN 'item that nobody has' AS fault, count(*) AS count, min(n.item_id) AS example
  UNION ALL
  MATCH (n:Item)
  WITH toStringOrNull(n.title) AS title, collect(n.item_id) AS ids
  WHERE size(ids) > 1 AND trim(title) <> ''
  RETURN 'title of several items' AS fault, count(*) AS count, min(title) AS example
  UNION ALL
  MATCH (n:User) WHERE NOT EXISTS { (n)-[:INTERACTED]->() }
  RETURN 'user without an interaction' AS fault, count(*) AS count, min(n.user_id) AS example
  UNION ALL
  MATCH (n:User)-[:FOLLOWS]->(n)
  RETURN 'user who follows themselves' AS fault, count(*) AS count, min(n.user_id) AS example
  UNION ALL
  MATCH (n:Category) WHERE NOT EXISTS { (n)<-[:SUBCATEGORY_OF*0..10]-()<-[:IN_CATEGORY]-() }
  RETURN 'category without an item' AS fault, count(*) AS count, min(n.category_id) AS example
  UNION ALL
  MATCH (n:Category)
  WITH toLower(trim(toStringOrNull(n.name))) AS name, n.kind AS kind,
       collect(n.category_id) AS ids
  WHERE size(ids) > 1 AND name <> ''
  RETURN 'name of several categories' AS fault, count(*) AS count, min(name) AS example
  UNION ALL
  MATCH (n:User)-[did:INTERACTED]->() WHERE did.last_at IS NULL
  RETURN 'interaction without a time' AS fault, count(*) AS count, min(n.user_id) AS example
  UNION ALL
  MATCH (n:User)-[did:INTERACTED]->() WHERE did.last_at > datetime()
  RETURN 'interaction in the future' AS fault, count(*) AS count, min(n.user_id) AS example
  UNION ALL
  MATCH (n:User)-[did:INTERACTED]->() WHERE did.weight < 0
  RETURN 'interaction of negative weight' AS fault, count(*) AS count, min(n.user_id) AS example
}
RETURN fault, count, example
ORDER BY count DESC, fault
