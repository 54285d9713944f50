// Takes back what users did with items, of one kind of event or, where that is null, of all, with
// the outcomes that these events are. Kinds are compared without case, `-`, `_` and spaces. The
// ledger keeps its entries: an event that was taken back and is sent again does not count again.
// `retracted_at` says that a user's interactions are no longer those of the last refresh and some
// more. A kind that cannot be read is none, and goes where all kinds go. Each row has user_id, item_id
// and event.
// mode: write
// params: rows: list[map]
// returns: user_id: str, item_id: str, kind: str, events: list[str]
UNWIND $rows AS row
MATCH (u:User {user_id: row.user_id})-[r:INTERACTED]->(:Item {item_id: row.item_id})
WITH u, r, row, CASE WHEN r.event IS NULL THEN 'interaction'
                  ELSE coalesce(toStringOrNull(r.event), '') END AS event
WITH u, r, row, event,
     [kind IN [event, row.event] | replace(replace(replace(toLower(kind), '-', ''), '_', ''), ' ', '')]
       AS kinds
WHERE row.event IS NULL OR kinds[0] = kinds[1]
WITH u, row, collect(r) AS known, collect(event) AS events, kinds[1] AS kind
CALL (row, kind) {
  MATCH (entry:Event {user_id: row.user_id, item_id: row.item_id})
  MATCH (o:Outcome {outcome_id: entry.outcome_id})
  WHERE kind IS NULL
    OR replace(replace(replace(toLower(toStringOrNull(o.kind)), '-', ''), '_', ''), ' ', '') = kind
  WITH DISTINCT o
  DELETE o
}
FOREACH (old IN known | DELETE old)
SET u.retracted_at = datetime()
RETURN row.user_id AS user_id, row.item_id AS item_id, row.event AS kind, events
