// The vectors that models made of a user, each with the version that wrote it.
// mode: read
// params: user_id: str
// returns: name: str, model: str, version: int, vector: list[float]
MATCH (user:User {user_id: $user_id})
UNWIND [name IN keys(user) WHERE name STARTS WITH 'embedding_'] AS name
OPTIONAL MATCH (v:EmbeddingVersion)
WHERE name = 'embedding_' + toStringOrNull(v.model) + '_' + toStringOrNull(v.slot)
  AND v.version IS :: INTEGER NOT NULL
WITH user, name, v
ORDER BY v.version DESC
WITH user, name, head(collect(v)) AS v
RETURN name, v.model AS model, v.version AS version, user[name] AS vector
ORDER BY name
