// Tells at once which kinds of interactions there are: degrees are counted one by one
// only where some do not speak (cypher/metapaths/item_user_item.cypher).
// mode: schema
CREATE INDEX recsvc_interacted_event IF NOT EXISTS
FOR ()-[r:INTERACTED]-() ON (r.event)
