// Some parts of the arrays a version of the blend is served from.
// mode: write
// params: version: int, parts: list[map]
MATCH (v:EmbeddingVersion {model: 'hybrid', version: $version})
UNWIND $parts AS part
CREATE (v)-[:HAS_PART]->(:SnapshotPart {
  entry: part.entry, number: part.number, sha256: part.sha256, content: part.content
})
