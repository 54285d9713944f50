// Finds a name without words, as `!!!`, which the other full-text index does not hold. There is one
// full-text index of the same properties only, so the id is in this one too.
// mode: schema
CREATE FULLTEXT INDEX recsvc_category_signs IF NOT EXISTS
FOR (c:Category) ON EACH [c.name, c.category_id]
OPTIONS {indexConfig: {`fulltext.analyzer`: 'unicode_whitespace'}}
