// Some users drawn by chance, each with the same.
// mode: read
// params: share: float, limit: int
// returns: user_id: str
MATCH (user:User)
WHERE rand() < $share AND user.user_id IS :: STRING NOT NULL
RETURN user.user_id AS user_id
LIMIT $limit
