// The active version of every model.
// mode: read
// returns: model: str, version: int, slot: str, sha256: str, activated_at: datetime, metrics: str,
//   seconds: float
MATCH (v:EmbeddingVersion {status: 'active'})
RETURN v.model AS model, v.version AS version, v.slot AS slot, v.sha256 AS sha256,
       v.activated_at AS activated_at, v.metrics AS metrics, v.seconds AS seconds
ORDER BY model
