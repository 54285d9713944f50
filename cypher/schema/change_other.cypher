// Finds the changes of those who follow a user: what they say of that one goes with the user.
// mode: schema
CREATE INDEX recsvc_change_other IF NOT EXISTS
FOR (c:Change) ON (c.other_id)
