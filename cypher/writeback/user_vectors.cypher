// Vectors of nodes labelled User, into one slot; null takes away what is there.
// mode: write
// each: model = EMBEDDING_MODELS, slot = a | b
// params: rows: list[map]
// returns: written: int
UNWIND $rows AS row
MATCH (n:User {user_id: row.id})
SET n.embedding_<<model>>_<<slot>> = row.vector
RETURN count(n) AS written
