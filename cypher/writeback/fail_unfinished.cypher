// Marks the versions that other runs have begun and not activated as failed.
// mode: write
// params: run: str, reason: str
// returns: failed: int
MATCH (v:EmbeddingVersion)
WHERE v.status IN ['building', 'ready'] AND coalesce(v.run, '') <> $run
SET v.status = 'failed', v.reason = $reason
RETURN count(v) AS failed
