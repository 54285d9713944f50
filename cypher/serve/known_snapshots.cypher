// The versions of the blend and the SHA-256 of their arrays, also where these are no longer stored.
// mode: read
// returns: version: int, sha256: str
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WHERE v.version IS :: INTEGER NOT NULL AND v.sha256 IS :: STRING NOT NULL AND v.sha256 <> ''
RETURN v.version AS version, v.sha256 AS sha256
