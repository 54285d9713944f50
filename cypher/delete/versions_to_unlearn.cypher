// Versions of the blend whose arrays are stored, the active one first: which refresh made each, and
// when that read its graph; now, where it is not known.
// mode: read
// returns: version: int, run: str, active: bool, at_milliseconds: int
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WHERE v.status IN ['active', 'retired'] AND EXISTS { (v)-[:HAS_PART]->() }
  AND v.version IS :: INTEGER NOT NULL AND v.run IS :: STRING NOT NULL
RETURN v.version AS version, v.run AS run, v.status = 'active' AS active,
       CASE WHEN properties(v).graph_at IS :: ZONED DATETIME NOT NULL
            THEN properties(v).graph_at.epochMillis
            ELSE timestamp() END AS at_milliseconds
ORDER BY active DESC, version DESC
