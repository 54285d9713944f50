// One category's own properties and its parents.
// mode: read
// params: id: str, limit: int
// returns: named: any, properties: list[list[any]], links: list[list[any]]
MATCH (c:Category {category_id: $id})
RETURN
  c.name AS named,
  [name IN keys(c) WHERE NOT name STARTS WITH 'embedding_' | [name, c[name]]] AS properties,
  COLLECT {
    MATCH (c)-[:SUBCATEGORY_OF]->(parent:Category)
    WHERE parent.category_id IS :: STRING NOT NULL
    RETURN [parent.category_id, 1.0]
    ORDER BY parent.category_id
    LIMIT $limit
  } AS links
