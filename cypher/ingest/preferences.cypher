// Links users to the categories they prefer; both exist.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})
MATCH (c:Category {category_id: row.category_id})
MERGE (u)-[r:PREFERS]->(c)
SET r.weight = row.weight
