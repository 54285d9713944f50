// Gives the lease back; nothing if another took it. The number stays, for the next to be higher.
// mode: write
// params: holder: str, fence: int
// returns: released: bool
MATCH (lease:RefreshLease {name: 'refresh'})
SET lease.locked = true
REMOVE lease.locked
WITH lease
WHERE lease.holder = $holder AND lease.fence = $fence
SET lease.holder = null
RETURN count(*) = 1 AS released
