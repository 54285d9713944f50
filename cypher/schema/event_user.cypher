// Finds the ledger entries of a user, who may ask to be deleted with everything derived from them.
// mode: schema
CREATE INDEX recsvc_event_user IF NOT EXISTS
FOR (e:Event) ON (e.user_id)
