// Finds outcomes that are older than they are kept.
// mode: schema
CREATE INDEX recsvc_outcome_at IF NOT EXISTS
FOR (o:Outcome) ON (o.at)
