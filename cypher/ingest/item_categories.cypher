// Links items to categories; both exist.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (i:Item {item_id: row.item_id})
MATCH (c:Category {category_id: row.category_id})
MERGE (i)-[r:IN_CATEGORY]->(c)
SET r.weight = row.weight
