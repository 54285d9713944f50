// What is in the graph already of users' interactions with some items: what tables said of them,
// in the form `ingest/new_interactions` takes, without further properties.
// mode: read
// params: rows: list[list[any]]
// returns: user_id: str, known: list[list[any]]
UNWIND $rows AS row
MATCH (u:User {user_id: row[0]})-[r:INTERACTED]->(i:Item)
WHERE i.item_id IN row[1]
RETURN u.user_id AS user_id,
       collect([i.item_id, r.event, r.count - coalesce(r.ledger_count, 0),
                round(r.weight - coalesce(r.ledger_weight, 0.0), 6), r.value,
                r.first_at.epochSeconds, r.first_at.nanosecond,
                r.last_at.epochSeconds, r.last_at.nanosecond]) AS known
