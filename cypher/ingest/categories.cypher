// Makes sure of categories and lays properties over those they have.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MERGE (c:Category {category_id: row.category_id})
SET c += row.properties
