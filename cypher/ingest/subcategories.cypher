// Links categories, which exist, to the categories they belong to.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (c:Category {category_id: row.category_id})
MATCH (parent:Category {category_id: row.parent_id})
MERGE (c)-[:SUBCATEGORY_OF]->(parent)
