// The active version of the blend: its weights, and how good each of its signals was.
// mode: read
// returns: version: int, sha256: str, weights: str, metrics: str
MATCH (v:EmbeddingVersion {model: 'hybrid', status: 'active'})
WHERE v.version IS :: INTEGER NOT NULL AND v.sha256 IS :: STRING NOT NULL
RETURN v.version AS version, v.sha256 AS sha256, v.weights AS weights, v.signal_metrics AS metrics
