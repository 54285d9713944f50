// Lays properties over interactions, all of which exist: those that the files of an import could
// not carry.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})
MATCH (i:Item {item_id: row.item_id})
MATCH (u)-[r:INTERACTED {event: row.event}]->(i)
SET r += row.properties
