// Makes these versions the active ones of their models, all in one transaction.
// mode: write
// params: versions: list[map]
// returns: activated: int
UNWIND $versions AS wanted
MATCH (new:EmbeddingVersion {model: wanted.model, version: wanted.version, status: 'ready'})
OPTIONAL MATCH (old:EmbeddingVersion {model: wanted.model, status: 'active'})
SET old.status = 'retired', old.retired_at = datetime()
SET new.status = 'active', new.activated_at = datetime()
RETURN count(DISTINCT new) AS activated
