// Finds a name without words, as `!!!`, by its beginning; the full-text index has words only.
// mode: schema
CREATE TEXT INDEX recsvc_category_name_beginning IF NOT EXISTS
FOR (c:Category) ON (c.name)
