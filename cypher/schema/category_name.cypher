// Finds categories by words of their name, a word also by its beginning, whatever the case and
// accents.
// mode: schema
CREATE FULLTEXT INDEX recsvc_category_name IF NOT EXISTS
FOR (c:Category) ON EACH [c.name]
OPTIONS {indexConfig: {`fulltext.analyzer`: 'standard-no-stop-words'}}
