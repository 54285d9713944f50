// Finds the ledger entries of an item, which may be deleted with everything derived from it.
// mode: schema
CREATE INDEX recsvc_event_item IF NOT EXISTS
FOR (e:Event) ON (e.item_id)
