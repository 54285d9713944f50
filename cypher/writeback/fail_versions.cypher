// Marks unfinished versions as failed; they stay for inspection.
// mode: write
// params: versions: list[map], reason: str
// returns: failed: int
UNWIND $versions AS unfinished
MATCH (v:EmbeddingVersion {
  model: unfinished.model, version: unfinished.version, status: 'building'
})
SET v.status = 'failed', v.reason = $reason
RETURN count(v) AS failed
