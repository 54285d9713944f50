// Replaces the properties of categories, which exist, all but the id; and their parents, where
// `links` is not null. Each row has id, properties and links (category_id; distinct).
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (c:Category {category_id: row.id})
FOREACH (name IN [name IN keys(c) WHERE name <> 'category_id' AND NOT name STARTS WITH 'embedding_'] |
  REMOVE c[name])
SET c += row.properties
WITH c, row
WHERE row.links IS NOT NULL
CALL (c) {
  OPTIONAL MATCH (c)-[old:SUBCATEGORY_OF]->(:Category)
  DELETE old
  RETURN count(*) AS removed
}
UNWIND row.links AS link
MATCH (parent:Category {category_id: link.category_id})
CREATE (c)-[:SUBCATEGORY_OF]->(parent)
