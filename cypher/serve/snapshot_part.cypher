// One stored piece of the arrays a version of the blend is served from.
// mode: read
// params: version: int, number: int
// returns: content: bytes
MATCH (:EmbeddingVersion {model: 'hybrid', version: $version})
      -[:HAS_PART]->(part:SnapshotPart {number: $number})
RETURN part.content AS content
