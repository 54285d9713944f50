// All versions of all models, newest first.
// mode: read
// params: limit: int
// returns: properties: map
MATCH (v:EmbeddingVersion)
WITH v ORDER BY v.model, v.version DESC LIMIT $limit
RETURN properties(v) AS properties
