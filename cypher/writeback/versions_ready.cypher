// Records what the finished versions of a run hold and how good they are, all at once.
// mode: write
// params: versions: list[map]
// returns: marked: int
UNWIND $versions AS finished
MATCH (v:EmbeddingVersion {
  model: finished.model, version: finished.version, status: 'building'
})
SET v += finished.properties, v.status = 'ready', v.ready_at = datetime()
RETURN count(v) AS marked
