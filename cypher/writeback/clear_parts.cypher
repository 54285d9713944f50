// Removes the stored arrays of a version of the blend that is to be written again.
// mode: write
// params: version: int
// returns: dropped: int
MATCH (:EmbeddingVersion {model: 'hybrid', version: $version, status: 'building'})
      -[:HAS_PART]->(part:SnapshotPart)
DETACH DELETE part
RETURN count(*) AS dropped
