// One node per outcome, which is what makes an outcome count once.
// mode: schema
CREATE CONSTRAINT recsvc_outcome_id IF NOT EXISTS
FOR (o:Outcome) REQUIRE o.outcome_id IS UNIQUE
