// Versions of the blend that are active or were, and whose arrays are stored.
// mode: read
// returns: version: int, sha256: str
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WHERE v.status IN ['active', 'retired'] AND EXISTS { (v)-[:HAS_PART]->() }
  AND v.version IS :: INTEGER NOT NULL AND v.sha256 IS :: STRING NOT NULL
RETURN v.version AS version, v.sha256 AS sha256
