// Which parts the arrays of a version of the blend are stored in, with the headers of arrays, which
// are small.
// mode: read
// params: version: int
// returns: entry: str, number: int, sha256: str, header: bytes
MATCH (:EmbeddingVersion {model: 'hybrid', version: $version})-[:HAS_PART]->(part:SnapshotPart)
RETURN coalesce(part.entry, '') AS entry, part.number AS number,
       coalesce(part.sha256, '') AS sha256,
       CASE WHEN part.number = 0 AND part.entry ENDS WITH '.npy' THEN part.content END AS header
