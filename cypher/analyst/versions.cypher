// Which versions of the models are there, and how good were they?
// `metrics` and `weights` are JSON text. `metrics` is of the validation users; for `hybrid` it is
// that of the whole blend. Empty before the first refresh.
// mode: read
// params: limit: int
// returns: model: str, version: int, status: str, slot: str, activated_at: datetime, metrics: str,
//   weights: str
MATCH (v:EmbeddingVersion)
RETURN v.model AS model, v.version AS version, v.status AS status, v.slot AS slot,
       v.activated_at AS activated_at, v.metrics AS metrics, v.weights AS weights
ORDER BY model, version DESC
LIMIT $limit
