// How good the active version of the blend was for each of its validation users, and a number for
// what each was asked for; 0 in versions that did not keep it.
// mode: read
// returns: version: int, run: str, sha256: str, options: str, users: list[int], ndcg: list[float],
//   asked: list[int]
MATCH (v:EmbeddingVersion {model: 'hybrid', status: 'active'})
WHERE v.validation_users IS NOT NULL
RETURN v.version AS version, v.run AS run, v.sha256 AS sha256, v.options AS options,
       v.validation_users AS users, v.validation_ndcg AS ndcg,
       coalesce(v.validation_asked, [user IN v.validation_users | 0]) AS asked
