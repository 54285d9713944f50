// Marks every unfinished version as failed; they stay for inspection.
// mode: write
// params: reason: str
// returns: failed: int
MATCH (v:EmbeddingVersion {status: 'building'})
SET v.status = 'failed', v.reason = $reason
RETURN count(v) AS failed
