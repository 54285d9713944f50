// One lease: what runs under it runs once.
// mode: schema
CREATE CONSTRAINT recsvc_refresh_lease IF NOT EXISTS
FOR (l:RefreshLease) REQUIRE l.name IS UNIQUE
