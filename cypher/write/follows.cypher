// Makes and removes follows between users, who exist; says which were there before. Each row has
// user_id, other_id, `follow` (false removes), `since`, which may be null and then leaves the
// stored one, and `anew` (the stored one counts no more); the pairs are distinct.
// mode: write
// params: rows: list[map]
// returns: user_id: str, other_id: str, existed: bool
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})
MATCH (other:User {user_id: row.other_id})
OPTIONAL MATCH (u)-[known:FOLLOWS]->(other)
WITH row, u, other, collect(known) AS known
FOREACH (old IN CASE WHEN row.follow THEN [] ELSE known END | DELETE old)
FOREACH (_ IN CASE WHEN row.follow THEN [1] ELSE [] END |
  MERGE (u)-[r:FOLLOWS]->(other)
  SET r.since = coalesce(row.since, CASE WHEN row.anew THEN null ELSE r.since END))
RETURN row.user_id AS user_id, row.other_id AS other_id, size(known) > 0 AS existed
