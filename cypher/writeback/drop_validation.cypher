// Removes what was measured for each validation user from versions that hold no arrays: only the
// active one is compared with, and no other can become active.
// mode: write
// returns: dropped: int
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WHERE v.status IN ['retired', 'failed'] AND v.validation_users IS NOT NULL
  AND NOT EXISTS { (v)-[:HAS_PART|HAS_NEXT_PART|HAD_PART]->() }
REMOVE v.validation_users, v.validation_ndcg, v.validation_asked
RETURN count(v) AS dropped
