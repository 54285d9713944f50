// Deletes users with their relationships, embeddings, ledger entries and outcomes, and leaves a note
// of each for the copies of arrays. Each row has `id`, its `digest` and its `number`.
// mode: write
// params: rows: list[map]
// returns: id: str
UNWIND $rows AS row
MATCH (u:User {user_id: row.id})
WITH row, u
CALL (row) {
  MATCH (entry:Event {user_id: row.id})
  DELETE entry
  RETURN count(*) AS entries
}
CALL (row) {
  MATCH (o:Outcome {user_id: row.id})
  DELETE o
  RETURN count(*) AS outcomes
}
CREATE (:Deletion {note: randomUUID(), kind: 'user', digest: row.digest,
                  number: row.number, at: datetime()})
WITH row.id AS id, u
DETACH DELETE u
RETURN id
