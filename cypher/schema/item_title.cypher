// Finds items by words of their title, a word also by its beginning, whatever the case and accents.
// mode: schema
CREATE FULLTEXT INDEX recsvc_item_title IF NOT EXISTS
FOR (i:Item) ON EACH [i.title]
OPTIONS {indexConfig: {`fulltext.analyzer`: 'standard-no-stop-words'}}
