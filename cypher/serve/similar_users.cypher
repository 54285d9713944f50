// The users nearest to one user in a model's vector index; scores are cosines.
// mode: read
// each: model = EMBEDDING_MODELS, slot = a | b
// params: user_id: str, k: int
// returns: id: str, name: str, score: float
MATCH (user:User {user_id: $user_id})
WHERE user.embedding_<<model>>_<<slot>> IS :: LIST<FLOAT NOT NULL> NOT NULL
  AND any(x IN user.embedding_<<model>>_<<slot>> WHERE x <> 0)
CALL db.index.vector.queryNodes(
  'user_embedding_<<model>>_<<slot>>', $k + 1, user.embedding_<<model>>_<<slot>>)
YIELD node, score
WHERE node <> user AND node.user_id IS :: STRING NOT NULL
RETURN node.user_id AS id, nullIf(toStringOrNull(node.name), 'NaN') AS name, 2 * score - 1 AS score
ORDER BY score DESC, id
LIMIT $k
