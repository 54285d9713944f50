// Finds the changes of an item, which go with it.
// mode: schema
CREATE INDEX recsvc_change_item IF NOT EXISTS
FOR (c:Change) ON (c.item_id)
