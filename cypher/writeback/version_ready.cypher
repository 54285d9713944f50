// Records what a finished version holds and how good it is.
// mode: write
// params: model: str, version: int, properties: map
// returns: marked: int
MATCH (v:EmbeddingVersion {model: $model, version: $version, status: 'building'})
SET v += $properties, v.status = 'ready', v.ready_at = datetime()
RETURN count(v) AS marked
