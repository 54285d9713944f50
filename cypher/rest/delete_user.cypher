// Deletes users with their relationships, embeddings and ledger entries, and leaves a note of each
// for the copies of arrays. The lock is taken before the ledger is read: an event that is being
// counted is either seen or starts again after this. Each row has `id` and its `digest`.
// mode: write
// params: rows: list[map]
// returns: id: str
UNWIND $rows AS row
MATCH (u:User {user_id: row.id})
SET u.locked = true
WITH row, u
CALL (row) {
  MATCH (entry:Event {user_id: row.id})
  DELETE entry
  RETURN count(*) AS entries
}
CREATE (:Deletion {note: randomUUID(), kind: 'user', digest: row.digest})
WITH row.id AS id, u
DETACH DELETE u
RETURN id
