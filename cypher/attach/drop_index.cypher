// Removes an index that writing into the graph of somebody else needs.
// mode: autocommit
// each: name = event_user | event_item
DROP INDEX recsvc_own_<<name>> IF EXISTS
