// Finds a title without words, as `!!!`, which the other full-text index does not hold. There is one
// full-text index of the same properties only, so the id is in this one too.
// mode: schema
CREATE FULLTEXT INDEX recsvc_item_signs IF NOT EXISTS
FOR (i:Item) ON EACH [i.title, i.item_id]
OPTIONS {indexConfig: {`fulltext.analyzer`: 'unicode_whitespace'}}
