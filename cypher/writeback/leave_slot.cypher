// Failed versions no longer have a slot, once their vectors are gone.
// mode: write
// params: model: str, slot: str
// returns: left: int
MATCH (v:EmbeddingVersion {model: $model, slot: $slot, status: 'failed'})
SET v.slot = null
RETURN count(v) AS left
