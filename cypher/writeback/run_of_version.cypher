// The versions that the refresh of one version made.
// mode: read
// params: model: str, version: int
// returns: model: str, version: int, slot: str, status: str, sha256: str, options: str, parts: int
MATCH (known:EmbeddingVersion {model: $model, version: $version})
MATCH (v:EmbeddingVersion)
WHERE v = known OR v.run = known.run
RETURN v.model AS model, v.version AS version, v.slot AS slot, v.status AS status,
       v.sha256 AS sha256, v.options AS options, COUNT { (v)-[:HAS_PART]->() } AS parts
ORDER BY model
