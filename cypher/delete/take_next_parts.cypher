// Gives a version the arrays that were written for it, all at once: the next parts take the place
// of all parts of some entries. Nothing is moved but relationships.
// mode: autocommit
// params: version: int, token: str, old: str, new: str, entries: list[str], parts: int
// returns: taken: bool
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version})
SET v.locked = true
REMOVE v.locked
WITH v
WHERE v.rewriting = $token AND v.sha256 = $old
  AND COUNT { (v)-[:HAS_NEXT_PART]->() } = $parts AND EXISTS { (v)-[:HAS_PART]->() }
SET v.sha256 = $new
REMOVE v.rewriting, v.rewriting_at
WITH v
CALL (v) {
  MATCH (v)-[had:HAS_PART]->(part:SnapshotPart)
  WHERE part.entry IN $entries
  CREATE (v)-[:HAD_PART]->(part)
  DELETE had
  RETURN count(*) AS left
}
CALL (v) {
  MATCH (v)-[next:HAS_NEXT_PART]->(part:SnapshotPart)
  CREATE (v)-[:HAS_PART]->(part)
  DELETE next
  RETURN count(*) AS came
}
RETURN count(*) > 0 AS taken
