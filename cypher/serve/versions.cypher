// All versions of all models, newest first, without what was measured for each user.
// mode: read
// params: limit: int
// returns: properties: map
MATCH (v:EmbeddingVersion)
WITH v ORDER BY v.model, v.version DESC LIMIT $limit
RETURN v {.*, validation_users: null, validation_ndcg: null} AS properties
