// Stores a part of the arrays that a version is to have next, for the process that has it, and
// counts as its sign of life. It runs on its own and not behind the lock of all writers: it touches
// nothing that they do.
// mode: autocommit
// params: version: int, token: str, entry: str, number: int, sha256: str, content: bytes
// returns: stored: bool
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version})
SET v.locked = true
REMOVE v.locked
WITH v
WHERE v.rewriting = $token
SET v.rewriting_at = timestamp()
CREATE (v)-[:HAS_NEXT_PART]->(:SnapshotPart {
  entry: $entry, number: $number, sha256: $sha256, content: $content
})
RETURN count(*) > 0 AS stored
