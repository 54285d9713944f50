// One piece of the arrays a version of the blend is served from.
// mode: write
// params: version: int, number: int, content: bytes
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version})
CREATE (v)-[:HAS_PART]->(:SnapshotPart {number: $number, content: $content})
