// Finds a title without words, as `!!!`, by its beginning; the full-text index has words only.
// mode: schema
CREATE TEXT INDEX recsvc_item_title_beginning IF NOT EXISTS
FOR (i:Item) ON (i.title)
