// Deletes items with their relationships, embeddings, ledger entries and outcomes, and leaves a note
// of each for the copies of arrays. Each row has `id` and its `digest`.
// mode: write
// params: rows: list[map]
// returns: id: str
UNWIND $rows AS row
MATCH (i:Item {item_id: row.id})
WITH row, i
CALL (row) {
  MATCH (entry:Event {item_id: row.id})
  DELETE entry
  RETURN count(*) AS entries
}
CALL (row) {
  MATCH (o:Outcome {item_id: row.id})
  DELETE o
  RETURN count(*) AS outcomes
}
CREATE (:Deletion {note: randomUUID(), kind: 'item', digest: row.digest,
                  at: datetime()})
WITH row.id AS id, i
DETACH DELETE i
RETURN id
