// Finds the changes of a user, which go with them.
// mode: schema
CREATE INDEX recsvc_change_user IF NOT EXISTS
FOR (c:Change) ON (c.user_id)
