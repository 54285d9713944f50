// One user's own properties and categories, strongest first.
// mode: read
// params: id: str, limit: int
// returns: named: any, properties: list[list[any]], links: list[list[any]]
MATCH (u:User {user_id: $id})
RETURN
  u.name AS named,
  [name IN keys(u) WHERE name <> 'retracted_at' AND NOT name STARTS WITH 'embedding_'
   | [name, u[name]]] AS properties,
  COLLECT {
    MATCH (u)-[r:PREFERS]->(c:Category)
    WHERE -1e6 <= coalesce(r.weight, 1.0) <= 1e6 AND c.category_id IS :: STRING NOT NULL
    WITH c.category_id AS category_id, max(toFloat(coalesce(r.weight, 1.0))) AS weight
    RETURN [category_id, weight]
    ORDER BY weight DESC, category_id
    LIMIT $limit
  } AS links
