// Finds the changes of a category, which go with it.
// mode: schema
CREATE INDEX recsvc_change_category IF NOT EXISTS
FOR (c:Change) ON (c.category_id)
