// Finds the outcomes of a user in the order of time: the latest make items fade, and all of them go
// with the user.
// mode: schema
CREATE INDEX recsvc_outcome_user IF NOT EXISTS
FOR (o:Outcome) ON (o.user_id, o.at)
