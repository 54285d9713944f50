// Takes the arrays away from a version that is not active and whose arrays nobody can read; only
// relationships are changed, `delete/drop_left_parts` removes the parts.
// mode: autocommit
// params: version: int
// returns: given_up: bool
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version})
SET v.locked = true
REMOVE v.locked
WITH v
WHERE v.status <> 'active'
MATCH (v)-[had:HAS_PART]->(part:SnapshotPart)
CREATE (v)-[:HAD_PART]->(part)
DELETE had
RETURN count(*) > 0 AS given_up
