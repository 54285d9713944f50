// One node per user.
// mode: schema
CREATE CONSTRAINT recsvc_user_id IF NOT EXISTS
FOR (u:User) REQUIRE u.user_id IS UNIQUE
