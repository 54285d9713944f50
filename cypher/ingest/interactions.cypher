// Merges what tables say about (user, item, event) into relationships that are in the graph.
// Each entry is the total of one load, in the form `ingest/new_interactions` takes. Of what tables
// said, the load with more rows stands (ties: the larger weight); what came as events with an id
// (`ledger_count`, `ledger_weight`) is added to that. So loads may come again and in any order,
// and an event is never lost. Where the weight would be larger than `limit` either way, the entry
// is left out and returned. What somebody wrote by hand and cannot be read is missing, and
// replaced: where it is the count or the weight, the load stands.
// mode: write
// params: rows: list[list[any]], limit: float
// returns: user_id: str, item_id: str, event: str, count: int, weight: float
UNWIND $rows AS row
MATCH (u:User {user_id: row[0]})
UNWIND row[1] AS did
MATCH (u)-[r:INTERACTED {event: did[1]}]->(i:Item {item_id: did[0]})
WITH row[0] AS user_id, did[0] AS item_id, r,
     did[2] AS count, did[3] AS weight, did[4] AS value, coalesce(did[9], {}) AS properties,
     CASE WHEN did[5] IS NOT NULL
       THEN datetime({epochSeconds: did[5], nanosecond: did[6]}) END AS first_at,
     CASE WHEN did[7] IS NOT NULL
       THEN datetime({epochSeconds: did[7], nanosecond: did[8]}) END AS last_at,
     CASE WHEN -$limit <= r.ledger_weight <= $limit
       THEN toFloat(r.ledger_weight) ELSE 0.0 END AS ledger_weight,
     CASE WHEN 0 <= r.ledger_count <= 1e12
       THEN toInteger(r.ledger_count) ELSE 0 END AS ledger_count,
     CASE WHEN r.first_at IS :: ZONED DATETIME THEN r.first_at END AS stored_first_at,
     CASE WHEN r.last_at IS :: ZONED DATETIME THEN r.last_at END AS stored_last_at,
     CASE WHEN -$limit <= r.value <= $limit THEN toFloat(r.value) END AS stored_value
WITH *,
     CASE WHEN 0 <= r.count <= 1e12 THEN toInteger(r.count) - ledger_count END AS tables_count,
     CASE WHEN -$limit <= r.weight <= $limit
       THEN round(r.weight - ledger_weight, 6) END AS tables_weight
WITH *,
     tables_count IS NULL OR tables_weight IS NULL OR count > tables_count
       OR (count = tables_count AND weight > tables_weight) AS stronger,
     CASE
       WHEN last_at = stored_last_at OR (last_at IS NULL AND stored_last_at IS NULL)
         THEN coalesce(value > stored_value, stored_value IS NULL)
       ELSE coalesce(last_at > stored_last_at, stored_last_at IS NULL)
     END AS newer
WITH *, round(ledger_weight + CASE WHEN stronger THEN weight ELSE tables_weight END, 6) AS sum
WITH *, NOT abs(sum) <= $limit AS beyond  // NaN is beyond too
FOREACH (_ IN CASE WHEN beyond THEN [] ELSE [1] END |
  SET r.count = ledger_count + CASE WHEN stronger THEN count ELSE tables_count END,
      r.weight = sum,
      r.first_at = CASE WHEN stored_first_at IS NULL OR first_at < stored_first_at THEN first_at
                   ELSE stored_first_at END,
      r.value = CASE WHEN newer THEN value ELSE stored_value END,
      r.last_at = CASE WHEN newer THEN last_at ELSE stored_last_at END
  SET r += CASE WHEN newer THEN properties ELSE {} END
)
WITH * WHERE beyond
RETURN user_id, item_id, r.event AS event, count, sum AS weight
