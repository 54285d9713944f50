// The active version of every model.
// mode: read
// returns: model: str, version: int, slot: str, sha256: str
MATCH (v:EmbeddingVersion {status: 'active'})
RETURN v.model AS model, v.version AS version, v.slot AS slot, v.sha256 AS sha256
ORDER BY model
