// Tells at once the least and the greatest weight of an interaction: degrees are counted one by one
// only where some do not speak (cypher/metapaths/item_user_item.cypher).
// mode: schema
CREATE INDEX recsvc_interacted_weight IF NOT EXISTS
FOR ()-[r:INTERACTED]-() ON (r.weight)
