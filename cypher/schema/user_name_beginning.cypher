// Finds a name without words, as `!!!`, by its beginning; the full-text index has words only.
// mode: schema
CREATE TEXT INDEX recsvc_user_name_beginning IF NOT EXISTS
FOR (u:User) ON (u.name)
