// Versions of the blend whose arrays are stored and whole.
// mode: read
// returns: version: int, sha256: str
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WHERE v.status IN ['ready', 'active', 'retired'] AND EXISTS { (v)-[:HAS_PART]->() }
  AND v.version IS :: INTEGER NOT NULL AND v.sha256 IS :: STRING NOT NULL
RETURN v.version AS version, v.sha256 AS sha256
ORDER BY version
