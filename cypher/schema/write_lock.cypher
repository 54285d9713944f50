// What writers lock before they write: `ingest/write_lock` merges one node and deletes it again.
// mode: schema
CREATE CONSTRAINT recsvc_write_lock IF NOT EXISTS
FOR (l:WriteLock) REQUIRE l.name IS UNIQUE
