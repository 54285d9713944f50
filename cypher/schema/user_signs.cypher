// Finds a name without words, as `!!!`, which the other full-text index does not hold. There is one
// full-text index of the same properties only, so the id is in this one too.
// mode: schema
CREATE FULLTEXT INDEX recsvc_user_signs IF NOT EXISTS
FOR (u:User) ON EACH [u.name, u.user_id]
OPTIONS {indexConfig: {`fulltext.analyzer`: 'unicode_whitespace'}}
