// The version of a model that a run of a refresh has begun.
// mode: read
// params: model: str, run: str
// returns: version: int, slot: str, status: str
MATCH (v:EmbeddingVersion {model: $model, run: $run})
RETURN v.version AS version, v.slot AS slot, v.status AS status
