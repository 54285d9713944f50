// Who has the lease of refreshes now, and since when; nothing where nobody has or it has run out.
// mode: read
// returns: holder: str, acquired_at: datetime
MATCH (lease:RefreshLease {name: 'refresh'})
WHERE lease.holder IS NOT NULL AND datetime.realtime() < lease.expires_at
RETURN lease.holder AS holder, lease.acquired_at AS acquired_at
