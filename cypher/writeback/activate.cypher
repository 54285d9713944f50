// Makes these versions the active ones of their models, all in one transaction; what is active
// already stays so. Each has one of the statuses, or nothing becomes of it.
// mode: write
// params: versions: list[map], statuses: list[str], overridden: list[str]
// returns: activated: int
UNWIND $versions AS wanted
MATCH (new:EmbeddingVersion {model: wanted.model, version: wanted.version})
WHERE new.status = 'active' OR new.status IN $statuses
OPTIONAL MATCH (old:EmbeddingVersion {model: wanted.model, status: 'active'})
WHERE old <> new
SET old.status = 'retired', old.retired_at = datetime()
WITH DISTINCT new
SET new.activated_at = CASE new.status WHEN 'active' THEN new.activated_at ELSE datetime() END,
    new.status = 'active', new.retired_at = null,
    new.overridden = coalesce($overridden, new.overridden)
RETURN count(new) AS activated
