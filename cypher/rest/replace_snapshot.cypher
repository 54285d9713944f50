// Puts other arrays in the place of a version's stored ones, if those are still what was read. The
// lock is taken first: two that rewrite one version come one after the other. It runs on its own
// and not behind the lock of all writers: it takes seconds, and touches nothing that they do.
// mode: autocommit
// params: version: int, old: str, new: str, parts: list[bytes]
// returns: replaced: bool
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version})
SET v.locked = true
REMOVE v.locked
WITH v
WHERE v.sha256 = $old AND EXISTS { (v)-[:HAS_PART]->() }
SET v.sha256 = $new
WITH v
CALL (v) {
  MATCH (v)-[:HAS_PART]->(part:SnapshotPart)
  DETACH DELETE part
  RETURN count(*) AS removed
}
FOREACH (number IN range(0, size($parts) - 1) |
  CREATE (v)-[:HAS_PART]->(:SnapshotPart {number: number, content: $parts[number]}))
RETURN count(*) > 0 AS replaced
