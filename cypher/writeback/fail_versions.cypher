// Marks the versions of a run that are not active as failed; they stay for inspection.
// mode: write
// params: run: str, reason: str
// returns: failed: int
MATCH (v:EmbeddingVersion {run: $run})
WHERE v.status IN ['building', 'ready']
SET v.status = 'failed', v.reason = $reason
RETURN count(v) AS failed
