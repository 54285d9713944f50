// One part of the arrays a version of the blend is served from.
// mode: write
// params: version: int, entry: str, number: int, sha256: str, content: bytes
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version})
CREATE (v)-[:HAS_PART]->(:SnapshotPart {
  entry: $entry, number: $number, sha256: $sha256, content: $content
})
