// One stored part of the arrays a version of the blend is served from, if it is still among them.
// mode: read
// params: version: int, entry: str, number: int, sha256: str
// returns: content: bytes
MATCH (:EmbeddingVersion {model: 'hybrid', version: $version})
      -[:HAS_PART]->(part:SnapshotPart {entry: $entry, number: $number, sha256: $sha256})
WHERE part.content IS NOT NULL  // somebody may have taken it away
RETURN part.content AS content
LIMIT 1
