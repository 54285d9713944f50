// Removes what versions of the blend hold of some validation users.
// mode: write
// params: numbers: list[int]
// returns: versions: int
MATCH (v:EmbeddingVersion {model: 'hybrid'})
WITH v, v.validation_users AS users, v.validation_ndcg AS ndcg,
     coalesce(v.validation_asked, []) AS asked
WHERE any(number IN users WHERE number IN $numbers)
WITH v, users, ndcg, asked,
     [place IN range(0, size(users) - 1) WHERE NOT users[place] IN $numbers] AS kept
SET v.validation_users = [place IN kept | users[place]],
    v.validation_ndcg = [place IN kept | ndcg[place]],
    v.validation_asked = [place IN kept | coalesce(asked[place], 0)]
RETURN count(v) AS versions
