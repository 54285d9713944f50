// All versions of all models, newest first, without what was measured for each user and without the
// kinds of events. `stored`: a version of the blend can be answered from.
// mode: read
// params: limit: int
// returns: properties: map
MATCH (v:EmbeddingVersion)
WITH v ORDER BY v.model, v.version DESC LIMIT $limit
RETURN v {.*, validation_users: null, validation_ndcg: null, validation_asked: null,
          kinds: null,
          stored: CASE v.model WHEN 'hybrid' THEN EXISTS { (v)-[:HAS_PART]->() } END} AS properties
