// Finds users by words of their name, a word also by its beginning, whatever the case and accents.
// mode: schema
CREATE FULLTEXT INDEX recsvc_user_name IF NOT EXISTS
FOR (u:User) ON EACH [u.name]
OPTIONS {indexConfig: {`fulltext.analyzer`: 'standard-no-stop-words'}}
