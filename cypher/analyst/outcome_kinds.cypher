// What followed answers, and how often?
// Each kind of outcome with its number, and of how many answers and users; sessions have no user.
// Empty where no outcome was told.
// mode: read
// params: limit: int
// returns: kind: str, outcomes: int, answers: int, users: int, first_at: datetime, last_at: datetime
MATCH (o:Outcome)
WITH o.kind AS kind, count(*) AS outcomes, count(DISTINCT o.recommendation) AS answers,
     count(DISTINCT o.user_id) AS users, min(o.at) AS first_at, max(o.at) AS last_at
ORDER BY outcomes DESC, kind
LIMIT $limit
RETURN kind, outcomes, answers, users, first_at, last_at
