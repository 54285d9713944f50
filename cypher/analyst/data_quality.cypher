// What is wrong with the data?
// How often each fault is there, and one id that has it. A category has the items of those below
// it; names are compared among categories of one kind.
// mode: read
// returns: fault: str, count: int, example: str
CALL () {
  MATCH (n:Item) WHERE coalesce(trim(nullIf(toStringOrNull(n.title), 'NaN')), '') = ''
  RETURN 'item without a title' AS fault, count(*) AS count, min(n.item_id) AS example
  UNION ALL
  MATCH (n:Item) WHERE NOT EXISTS { (n)-[:IN_CATEGORY]->() }
  RETURN 'item in no category' AS fault, count(*) AS count, min(n.item_id) AS example
  UNION ALL
  MATCH (n:Item) WHERE NOT EXISTS { (n)<-[:INTERACTED]-() }
  RETURN 'item that nobody has' AS fault, count(*) AS count, min(n.item_id) AS example
  UNION ALL
  MATCH (n:Item)
  WITH nullIf(toStringOrNull(n.title), 'NaN') AS title, collect(n.item_id) AS ids
  WHERE size(ids) > 1 AND trim(title) <> ''
  RETURN 'title of several items' AS fault, count(*) AS count, min(title) AS example
  UNION ALL
  MATCH (n:User) WHERE NOT EXISTS { (n)-[:INTERACTED]->() }
  RETURN 'user without an interaction' AS fault, count(*) AS count, min(n.user_id) AS example
  UNION ALL
  MATCH (n:User)-[:FOLLOWS]->(n)
  RETURN 'user who follows themselves' AS fault, count(*) AS count, min(n.user_id) AS example
  UNION ALL
  MATCH (n:Category)
  WHERE NOT EXISTS {
    MATCH (n)<-[:SUBCATEGORY_OF*0..10]-(below:Category)
    WITH DISTINCT below
    WHERE EXISTS { (below)<-[:IN_CATEGORY]-() }
    RETURN below
  }
  RETURN 'category without an item' AS fault, count(*) AS count, min(n.category_id) AS example
  UNION ALL
  MATCH (n:Category)
  WHERE EXISTS {
    MATCH (n)-[:SUBCATEGORY_OF]->(parent:Category)
    MATCH ANY SHORTEST (parent)-[:SUBCATEGORY_OF]->*(n)
    RETURN parent
  }
  RETURN 'category that is its own ancestor' AS fault, count(*) AS count,
         min(n.category_id) AS example
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
  UNION ALL
  MATCH (n:User)-[did:INTERACTED]->()
  WHERE NOT coalesce(-1e6 <= coalesce(did.weight, 1.0) <= 1e6, false)
     OR NOT did.event IS :: STRING
  RETURN 'interaction whose weight or event cannot be read' AS fault, count(*) AS count,
         min(n.user_id) AS example
  UNION ALL
  MATCH (n:User)-[did:INTERACTED]->()
  WHERE NOT did.first_at IS :: ZONED DATETIME OR NOT did.last_at IS :: ZONED DATETIME
  RETURN 'interaction whose time cannot be read' AS fault, count(*) AS count,
         min(n.user_id) AS example
  UNION ALL
  MATCH (n:Item)-[link:IN_CATEGORY]->()
  WHERE NOT coalesce(-1e6 <= coalesce(link.weight, 1.0) <= 1e6, false)
  RETURN 'item in a category by a weight that cannot be read' AS fault, count(*) AS count,
         min(n.item_id) AS example
  UNION ALL
  MATCH (n:User)-[likes:PREFERS]->()
  WHERE NOT coalesce(-1e6 <= coalesce(likes.weight, 1.0) <= 1e6, false)
  RETURN 'preference whose weight cannot be read' AS fault, count(*) AS count,
         min(n.user_id) AS example
  UNION ALL
  MATCH (n:Item) WHERE NOT n.available IS :: BOOLEAN
  RETURN 'item whose availability cannot be read' AS fault, count(*) AS count,
         min(n.item_id) AS example
  UNION ALL
  MATCH (n:User|Item|Category)
  WITH CASE WHEN n:User THEN 'User' WHEN n:Item THEN 'Item' ELSE 'Category' END AS label,
       coalesce(n.user_id, n.item_id, n.category_id) AS id, count(*) AS nodes
  WHERE nodes > 1 AND id IS :: STRING NOT NULL
  RETURN 'id of several nodes' AS fault, count(*) AS count, min(id) AS example
  UNION ALL
  MATCH (n:User|Item|Category)
  WHERE NOT coalesce(n.user_id, n.item_id, n.category_id) IS :: STRING NOT NULL
  RETURN 'node whose id cannot be read, by its elementId' AS fault, count(*) AS count,
         min(elementId(n)) AS example
}
RETURN fault, count, example
ORDER BY count DESC, fault
