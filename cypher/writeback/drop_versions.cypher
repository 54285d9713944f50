// Removes the versions of each model but the newest; those that hold arrays or vectors stay.
// mode: write
// params: keep: int
// returns: dropped: int
MATCH (v:EmbeddingVersion)
WITH v ORDER BY v.version DESC
WITH v.model AS model, collect(v) AS versions
UNWIND versions[$keep..] AS old
WITH old
WHERE old.status IN ['retired', 'failed'] AND old.slot IS NULL
  AND NOT EXISTS { (old)-[:HAS_PART|HAS_NEXT_PART|HAD_PART]->() }
DETACH DELETE old
RETURN count(*) AS dropped
