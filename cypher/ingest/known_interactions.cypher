// What is in the graph already of users' interactions with some items: what tables said of them,
// in the form `ingest/new_interactions` takes, without further properties. What cannot be read is
// null.
// mode: read
// params: rows: list[list[any]]
// returns: user_id: str, known: list[list[any]]
UNWIND $rows AS row
MATCH (u:User {user_id: row[0]})-[r:INTERACTED]->(i:Item)
WHERE i.item_id IN row[1] AND r.event IS :: STRING NOT NULL
WITH u, i, r,
     CASE WHEN 0 <= r.ledger_count <= 1e12
       THEN toInteger(r.ledger_count) ELSE 0 END AS ledger_count,
     CASE WHEN -1e6 <= r.ledger_weight <= 1e6 THEN r.ledger_weight ELSE 0.0 END AS ledger_weight,
     CASE WHEN r.first_at IS :: ZONED DATETIME THEN r.first_at END AS first_at,
     CASE WHEN r.last_at IS :: ZONED DATETIME THEN r.last_at END AS last_at
RETURN u.user_id AS user_id,
       collect([i.item_id, r.event,
                CASE WHEN 0 <= r.count <= 1e12 THEN toInteger(r.count) - ledger_count END,
                CASE WHEN -1e6 <= r.weight <= 1e6 THEN round(r.weight - ledger_weight, 6) END,
                CASE WHEN -1e6 <= r.value <= 1e6 THEN r.value END,
                first_at.epochSeconds, first_at.nanosecond,
                last_at.epochSeconds, last_at.nanosecond]) AS known
