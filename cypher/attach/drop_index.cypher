// Removes an index that writing into the graph of somebody else needs.
// mode: autocommit
// each: name = event_user | event_item | outcome_user | outcome_item | outcome_at
DROP INDEX recsvc_own_<<name>> IF EXISTS
