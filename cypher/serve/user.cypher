// One user's own properties and categories, strongest first.
// mode: read
// params: id: str, limit: int
// returns: properties: list[list[any]], links: list[list[any]]
MATCH (u:User {user_id: $id})
RETURN
  [name IN keys(u) WHERE NOT name STARTS WITH 'embedding_' | [name, u[name]]] AS properties,
  COLLECT {
    MATCH (u)-[r:PREFERS]->(c:Category)
    RETURN [c.category_id, toFloat(coalesce(r.weight, 1.0))]
    ORDER BY coalesce(r.weight, 1.0) DESC, c.category_id
    LIMIT $limit
  } AS links
