// Records what a finished version holds and how good it is.
// mode: write
// params: model: str, version: int, properties: map
MATCH (v:EmbeddingVersion {model: $model, version: $version})
SET v += $properties, v.status = 'ready', v.ready_at = datetime()
