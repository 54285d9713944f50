// Finds the ledger entries of a user, who may ask to be deleted with everything derived from them.
// mode: schema
CREATE INDEX event_user IF NOT EXISTS
FOR (e:Event) ON (e.user_id)
