// How good versions of the blend were for a user while they were being measured. `number` is what
// versions call the user.
// mode: read
// params: number: int
// returns: version: int, ndcg: float
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WHERE v.version IS :: INTEGER NOT NULL
  AND v.validation_users IS :: LIST<INTEGER NOT NULL> NOT NULL
  AND v.validation_ndcg IS :: LIST<FLOAT NOT NULL> NOT NULL
  AND size(v.validation_ndcg) = size(v.validation_users)
UNWIND range(0, size(v.validation_users) - 1) AS place
WITH v, place
WHERE v.validation_users[place] = $number
RETURN v.version AS version, v.validation_ndcg[place] AS ndcg
ORDER BY version
