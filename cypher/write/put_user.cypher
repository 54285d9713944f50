// Replaces the properties of users, who exist, all but id and embeddings; and the categories they prefer, where
// `links` is not null. Each row has id, properties and links (category_id and weight; distinct).
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (u:User {user_id: row.id})
FOREACH (name IN [name IN keys(u) WHERE NOT name IN ['user_id', 'retracted_at'] AND NOT name STARTS WITH 'embedding_'] |
  REMOVE u[name])
SET u += row.properties
WITH u, row
WHERE row.links IS NOT NULL
CALL (u) {
  OPTIONAL MATCH (u)-[old:PREFERS]->(:Category)
  DELETE old
  RETURN count(*) AS removed
}
UNWIND row.links AS link
MATCH (c:Category {category_id: link.category_id})
CREATE (u)-[:PREFERS {weight: link.weight}]->(c)
