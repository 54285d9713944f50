// One node per category.
// mode: schema
CREATE CONSTRAINT recsvc_category_id IF NOT EXISTS
FOR (c:Category) REQUIRE c.category_id IS UNIQUE
