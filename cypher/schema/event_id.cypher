// One ledger entry per event, which is what makes an event count once for good, also when two
// transactions bring it at the same moment.
// mode: schema
CREATE CONSTRAINT recsvc_event_id IF NOT EXISTS
FOR (e:Event) REQUIRE e.event_id IS UNIQUE
