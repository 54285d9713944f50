// One node per item.
// mode: schema
CREATE CONSTRAINT recsvc_item_id IF NOT EXISTS
FOR (i:Item) REQUIRE i.item_id IS UNIQUE
