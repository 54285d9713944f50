// Links users, who exist, to the users they follow. A missing `since` leaves the stored one.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (follower:User {user_id: row.follower_id})
MATCH (followee:User {user_id: row.followee_id})
MERGE (follower)-[r:FOLLOWS]->(followee)
SET r.since = coalesce(row.since, r.since)
