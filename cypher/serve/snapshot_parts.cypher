// Which parts the arrays of a version of the blend are stored in.
// mode: read
// params: version: int
// returns: entry: str, number: int, sha256: str
MATCH (:EmbeddingVersion {model: 'hybrid', version: $version})-[:HAS_PART]->(part:SnapshotPart)
RETURN coalesce(part.entry, '') AS entry, part.number AS number, coalesce(part.sha256, '') AS sha256
