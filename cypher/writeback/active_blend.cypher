// The active version of the blend: its weights, how good each of its signals was, and the groups of
// users whom the popular list served better.
// mode: read
// returns: version: int, sha256: str, weights: str, metrics: str, below_popularity: list[str]
MATCH (v:EmbeddingVersion {model: 'hybrid', status: 'active'})
WHERE v.version IS :: INTEGER NOT NULL AND v.sha256 IS :: STRING NOT NULL
RETURN v.version AS version, v.sha256 AS sha256, v.weights AS weights, v.signal_metrics AS metrics,
  CASE WHEN v.below_popularity IS :: LIST<STRING NOT NULL> NOT NULL THEN v.below_popularity
  ELSE [] END AS below_popularity
