// Removes some of the vectors in a slot.
// mode: write
// each: label = User | Item, model = EMBEDDING_MODELS, slot = a | b
// params: limit: int
// returns: cleared: int
MATCH (n:<<label>>)
WHERE n.embedding_<<model>>_<<slot>> IS NOT NULL
WITH n LIMIT $limit
REMOVE n.embedding_<<model>>_<<slot>>
RETURN count(n) AS cleared
