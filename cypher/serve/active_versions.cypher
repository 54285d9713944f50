// The active version of every model; null is what cannot be read of it.
// mode: read
// returns: model: str, version: int, slot: str, sha256: str, activated_at: datetime, metrics: str,
//   seconds: float
MATCH (v:EmbeddingVersion {status: 'active'})
WHERE v.model IS :: STRING NOT NULL AND v.version IS :: INTEGER NOT NULL
RETURN v.model AS model, v.version AS version,
       CASE WHEN v.slot IS :: STRING THEN v.slot END AS slot,
       CASE WHEN v.sha256 IS :: STRING THEN v.sha256 END AS sha256,
       CASE WHEN v.activated_at IS :: ZONED DATETIME THEN v.activated_at END AS activated_at,
       CASE WHEN v.metrics IS :: STRING THEN v.metrics END AS metrics,
       CASE WHEN v.seconds IS :: INTEGER | FLOAT THEN toFloat(v.seconds) END AS seconds
ORDER BY model
