// Makes these versions the active ones of their models, all in one transaction; what is active
// already stays so. Each has one of the statuses, or nothing becomes of it. Activations are
// numbered: which version was active last is told by no clock, which may be set back.
// mode: write
// params: versions: list[map], statuses: list[str], overridden: list[str]
// returns: activated: int
OPTIONAL MATCH (known:EmbeddingVersion)
WITH coalesce(max(known.activation), 0) + 1 AS activation
UNWIND $versions AS wanted
MATCH (new:EmbeddingVersion {model: wanted.model, version: wanted.version})
WHERE new.status = 'active' OR new.status IN $statuses
OPTIONAL MATCH (old:EmbeddingVersion {model: wanted.model, status: 'active'})
WHERE old <> new
SET old.status = 'retired', old.retired_at = datetime()
WITH DISTINCT new, activation
SET new.activation = CASE new.status WHEN 'active' THEN new.activation ELSE activation END,
    new.activated_at = CASE new.status WHEN 'active' THEN new.activated_at ELSE datetime() END,
    new.status = 'active', new.retired_at = null,
    new.overridden = coalesce($overridden, new.overridden)
RETURN count(new) AS activated
