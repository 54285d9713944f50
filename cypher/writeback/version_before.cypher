// The version of the blend that is active, and of the older ones that which was active last; and
// whether there is a model of a name.
// mode: read
// params: model: str
// returns: known: bool, active: int, before: int
OPTIONAL MATCH (active:EmbeddingVersion {model: 'hybrid', status: 'active'})
OPTIONAL MATCH (old:EmbeddingVersion {model: 'hybrid', status: 'retired'})
WHERE old.version < active.version
WITH active, old ORDER BY old.activation DESC, old.version DESC
WITH head(collect(active.version)) AS active, head(collect(old.version)) AS before
RETURN EXISTS { (:EmbeddingVersion {model: $model}) } AS known, active, before
