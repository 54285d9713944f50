// One change at each position of the feed.
// mode: schema
CREATE CONSTRAINT recsvc_change_position IF NOT EXISTS
FOR (c:Change) REQUIRE c.position IS UNIQUE
