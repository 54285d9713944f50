// Makes these versions the active ones of their models, all in one transaction; what is active
// already stays so.
// mode: write
// params: versions: list[map]
// returns: activated: int
UNWIND $versions AS wanted
MATCH (new:EmbeddingVersion {model: wanted.model, version: wanted.version})
WHERE new.status IN ['ready', 'active']
OPTIONAL MATCH (old:EmbeddingVersion {model: wanted.model, status: 'active'})
WHERE old <> new
SET old.status = 'retired', old.retired_at = datetime()
WITH DISTINCT new
SET new.activated_at = CASE new.status WHEN 'active' THEN new.activated_at ELSE datetime() END,
    new.status = 'active'
RETURN count(new) AS activated
