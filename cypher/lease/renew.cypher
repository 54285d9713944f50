// A sign of life of the holder, from now on good for as long as before; nothing if another took the
// lease. It does not wait for the lock of all writers, who may be many.
// mode: autocommit
// params: holder: str, fence: int, milliseconds: int
// returns: renewed: bool
MATCH (lease:RefreshLease {name: 'refresh'})
SET lease.locked = true
REMOVE lease.locked
WITH lease, datetime.realtime() AS now
WHERE lease.holder = $holder AND lease.fence = $fence
SET lease.heartbeat_at = now, lease.expires_at = now + duration({milliseconds: $milliseconds})
RETURN count(*) = 1 AS renewed
