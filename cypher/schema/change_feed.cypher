// One count of positions.
// mode: schema
CREATE CONSTRAINT recsvc_change_feed IF NOT EXISTS
FOR (feed:ChangeFeed) REQUIRE feed.name IS UNIQUE
