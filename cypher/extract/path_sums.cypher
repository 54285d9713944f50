// What the paths of an explain query add up to, by pair.
// mode: read
// each: explain = explain/*
// returns: evidence_id: any, item_id: any, strength: float, paths: int
CALL () {
<<explain>>
}
WITH evidence_id, item_id, strength
WHERE -1e30 <= strength <= 1e30
RETURN evidence_id, item_id, sum(strength) AS strength, count(*) AS paths
