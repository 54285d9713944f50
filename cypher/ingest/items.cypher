// Makes sure of items and lays properties over those they have.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MERGE (i:Item {item_id: row.item_id})
SET i += row.properties
