// One item's own properties and categories, strongest first.
// mode: read
// params: id: str, limit: int
// returns: named: any, properties: list[list[any]], links: list[list[any]]
MATCH (i:Item {item_id: $id})
RETURN
  i.title AS named,
  [name IN keys(i) WHERE NOT name STARTS WITH 'embedding_' | [name, i[name]]] AS properties,
  COLLECT {
    MATCH (i)-[r:IN_CATEGORY]->(c:Category)
    WHERE -1e6 <= coalesce(r.weight, 1.0) <= 1e6 AND c.category_id IS :: STRING NOT NULL
    WITH c.category_id AS category_id, max(toFloat(coalesce(r.weight, 1.0))) AS weight
    RETURN [category_id, weight]
    ORDER BY weight DESC, category_id
    LIMIT $limit
  } AS links
