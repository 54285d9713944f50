// How good the active version of the blend was for each of its validation users, and a number for
// what each was asked for; 0 in versions that did not keep it.
// mode: read
// returns: version: int, run: str, sha256: str, users: list[int], ndcg: list[float],
//   asked: list[int]
MATCH (v:EmbeddingVersion {model: 'hybrid', status: 'active'})
WHERE v.version IS :: INTEGER NOT NULL AND v.sha256 IS :: STRING NOT NULL
  AND v.validation_users IS :: LIST<INTEGER NOT NULL> NOT NULL
  AND v.validation_ndcg IS :: LIST<FLOAT NOT NULL> NOT NULL
  AND size(v.validation_ndcg) = size(v.validation_users)
RETURN v.version AS version, coalesce(toStringOrNull(v.run), '') AS run, v.sha256 AS sha256,
       v.validation_users AS users, v.validation_ndcg AS ndcg,
       CASE WHEN v.validation_asked IS :: LIST<INTEGER NOT NULL> NOT NULL
              AND size(v.validation_asked) = size(v.validation_users)
         THEN v.validation_asked ELSE [user IN v.validation_users | 0] END AS asked
