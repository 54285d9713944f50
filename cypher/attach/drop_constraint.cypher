// Removes a constraint that writing into the graph of somebody else needs.
// mode: autocommit
// each: name = event_id | write_lock
DROP CONSTRAINT recsvc_own_<<name>> IF EXISTS
