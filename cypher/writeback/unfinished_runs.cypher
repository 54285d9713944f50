// The runs of refreshes whose version of the blend has not failed and not been replaced.
// mode: read
// returns: runs: list[str]
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WHERE v.status IN ['building', 'ready', 'active'] AND v.run IS NOT NULL
RETURN collect(v.run) AS runs
