// Makes sure of users and lays properties over those they have.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MERGE (u:User {user_id: row.user_id})
SET u += row.properties
