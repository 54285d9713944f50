// Merges what tables say about (user, item, event) into relationships that are in the graph.
// Each entry is the total of one load, in the form `ingest/new_interactions` takes. Of what tables
// said, the load with more rows stands (ties: the larger weight); what came as events with an id
// (`ledger_count`, `ledger_weight`) is added to that. So loads may come again and in any order,
// and an event is never lost. Where the weight would be larger than `limit` either way, the entry is
// left out and returned.
// mode: write
// params: rows: list[list[any]], limit: float
// returns: user_id: str, item_id: str, event: str, count: int, weight: float
UNWIND $rows AS row
MATCH (u:User {user_id: row[0]})
UNWIND row[1] AS did
MATCH (u)-[r:INTERACTED {event: did[1]}]->(i:Item {item_id: did[0]})
WITH row[0] AS user_id, did[0] AS item_id, r, did[2] AS count, did[3] AS weight, did[4] AS value, coalesce(did[9], {}) AS properties,
     CASE WHEN did[5] IS NOT NULL
       THEN datetime({epochSeconds: did[5], nanosecond: did[6]}) END AS first_at,
     CASE WHEN did[7] IS NOT NULL
       THEN datetime({epochSeconds: did[7], nanosecond: did[8]}) END AS last_at,
     coalesce(r.ledger_weight, 0.0) AS ledger_weight,
     coalesce(r.ledger_count, 0) AS ledger_count
WITH *,
     coalesce(r.count, 0) - ledger_count AS tables_count,
     round(coalesce(r.weight, 0.0) - ledger_weight, 6) AS tables_weight
WITH *,
     count > tables_count OR (count = tables_count AND weight > tables_weight) AS stronger,
     CASE
       WHEN last_at = r.last_at OR (last_at IS NULL AND r.last_at IS NULL)
         THEN coalesce(value > r.value, r.value IS NULL)
       ELSE coalesce(last_at > r.last_at, r.last_at IS NULL)
     END AS newer
WITH *, round(ledger_weight + CASE WHEN stronger THEN weight ELSE tables_weight END, 6) AS sum
WITH *, NOT abs(sum) <= $limit AS beyond  // NaN is beyond too
FOREACH (_ IN CASE WHEN beyond THEN [] ELSE [1] END |
  SET r.count = ledger_count + CASE WHEN stronger THEN count ELSE tables_count END,
      r.weight = sum,
      r.first_at = CASE WHEN r.first_at IS NULL OR first_at < r.first_at THEN first_at
                   ELSE r.first_at END,
      r.value = CASE WHEN newer THEN value ELSE r.value END,
      r.last_at = CASE WHEN newer THEN last_at ELSE r.last_at END
  SET r += CASE WHEN newer THEN properties ELSE {} END
)
WITH * WHERE beyond
RETURN user_id, item_id, r.event AS event, count, sum AS weight
