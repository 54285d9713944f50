// Gives the lease of refreshes to a holder if nobody has it, if it has run out by the server's
// clock, if its last sign of life is still `silent_since`, or by force; each time with the next
// fencing number. What comes back is how it was before, but for the number.
// mode: write
// params: holder: str, milliseconds: int, silent_since: str, force: bool
// returns: taken: bool, fence: int, holder: str, heartbeat: str, acquired_at: datetime
MERGE (lease:RefreshLease {name: 'refresh'})
SET lease.locked = true
REMOVE lease.locked
WITH lease, datetime.realtime() AS now
WITH lease, now, lease.holder AS holder, lease.acquired_at AS acquired_at,
     toString(lease.heartbeat_at) AS heartbeat
WITH *, $force OR holder IS NULL OR now >= lease.expires_at
        OR coalesce(heartbeat = $silent_since, false) AS taken
FOREACH (_ IN CASE WHEN taken THEN [1] ELSE [] END |
  SET lease.fence = coalesce(lease.fence, 0) + 1, lease.holder = $holder, lease.acquired_at = now,
      lease.heartbeat_at = now,
      lease.expires_at = now + duration({milliseconds: $milliseconds}))
RETURN taken, lease.fence AS fence, holder, heartbeat, acquired_at
