// Finds the outcomes of an item, which go with it.
// mode: schema
CREATE INDEX recsvc_outcome_item IF NOT EXISTS
FOR (o:Outcome) ON (o.item_id)
