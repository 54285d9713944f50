// Deletes categories with their relationships, and leaves a note of each for the copies of arrays.
// Each row has `id` and its `digest`.
// mode: write
// params: rows: list[map]
// returns: id: str
UNWIND $rows AS row
MATCH (c:Category {category_id: row.id})
CREATE (:Deletion {note: randomUUID(), kind: 'category', digest: row.digest,
                  at: datetime()})
WITH row.id AS id, c
DETACH DELETE c
RETURN id
