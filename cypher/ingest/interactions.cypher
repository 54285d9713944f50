// Merges what tables say about (user, item, event) into the graph; users and items exist.
// Each row is the total of one load. Of what tables said, the load with more rows stands (ties:
// the larger weight); what came as events with an id (`ledger_count`, `ledger_weight`) is added
// to that. So loads may come again and in any order, and an event is never lost.
// mode: write
// params: rows: list[map]
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})
MATCH (i:Item {item_id: row.item_id})
MERGE (u)-[r:INTERACTED {event: row.event}]->(i)
// Takes the lock before the totals are read, so that no event counted meanwhile is overwritten.
SET r.event = row.event
WITH row, r,
     coalesce(r.ledger_weight, 0.0) AS ledger_weight,
     coalesce(r.ledger_count, 0) AS ledger_count
WITH row, r, ledger_weight, ledger_count,
     coalesce(r.count, 0) - ledger_count AS tables_count,
     round(coalesce(r.weight, 0.0) - ledger_weight, 6) AS tables_weight
WITH row, r, ledger_weight, ledger_count, tables_count, tables_weight,
     row.count > tables_count
       OR (row.count = tables_count AND row.weight > tables_weight) AS stronger,
     CASE
       WHEN row.last_at = r.last_at OR (row.last_at IS NULL AND r.last_at IS NULL)
         THEN coalesce(row.value > r.value, r.value IS NULL)
       ELSE coalesce(row.last_at > r.last_at, r.last_at IS NULL)
     END AS newer
SET r.count = ledger_count + CASE WHEN stronger THEN row.count ELSE tables_count END,
    r.weight = round(
      ledger_weight + CASE WHEN stronger THEN row.weight ELSE tables_weight END, 6),
    r.first_at = CASE
      WHEN r.first_at IS NULL OR row.first_at < r.first_at THEN row.first_at ELSE r.first_at END,
    r.value = CASE WHEN newer THEN row.value ELSE r.value END,
    r.last_at = CASE WHEN newer THEN row.last_at ELSE r.last_at END
