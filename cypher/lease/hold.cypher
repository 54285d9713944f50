// Whether a holder still has the lease; until the transaction ends nobody can take it. It is read
// after it is locked, so what is read cannot change.
// mode: write
// params: holder: str, fence: int
// returns: held: bool
MATCH (lease:RefreshLease {name: 'refresh'})
SET lease.locked = true
REMOVE lease.locked
WITH lease
WHERE lease.holder = $holder AND lease.fence = $fence
RETURN count(*) = 1 AS held
