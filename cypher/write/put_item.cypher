// Replaces the properties of items, who exist, all but id and embeddings; and the categories they are in, where
// `links` is not null. Each row has id, properties and links (category_id and weight; distinct).
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (i:Item {item_id: row.id})
FOREACH (name IN [name IN keys(i) WHERE name <> 'item_id' AND NOT name STARTS WITH 'embedding_'] |
  REMOVE i[name])
SET i += row.properties
WITH i, row
WHERE row.links IS NOT NULL
CALL (i) {
  OPTIONAL MATCH (i)-[old:IN_CATEGORY]->(:Category)
  DELETE old
  RETURN count(*) AS removed
}
UNWIND row.links AS link
MATCH (c:Category {category_id: link.category_id})
CREATE (i)-[:IN_CATEGORY {weight: link.weight}]->(c)
