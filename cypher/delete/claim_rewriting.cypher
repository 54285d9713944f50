// Lets one process at a time write other arrays for a version: the one that asks first, or again, or
// after the one before gave no sign of life for some time. Tells what the version holds now.
// mode: autocommit
// params: version: int, token: str, old: str, milliseconds: int
// returns: sha256: str, claimed: bool
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version})
SET v.locked = true
REMOVE v.locked
WITH v, timestamp() AS now
WITH v, now, v.sha256 = $old AND
     (v.rewriting IS NULL OR v.rewriting = $token OR v.rewriting_at < now - $milliseconds)
       AS claimed
FOREACH (_ IN CASE WHEN claimed THEN [1] ELSE [] END |
  SET v.rewriting = $token, v.rewriting_at = now)
RETURN v.sha256 AS sha256, claimed
