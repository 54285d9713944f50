// Links items, which exist, to items they are related to; one link for each pair and kind.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (i:Item {item_id: row.item_id})
MATCH (related:Item {item_id: row.related_id})
MERGE (i)-[r:RELATED_TO {kind: row.kind}]->(related)
SET r.weight = row.weight
