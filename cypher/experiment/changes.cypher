// What changed while an experiment ran, in the order of time, of at most `limit` the first: revisions
// that were stored of the scenarios it makes lists by, and where `versions` is true, versions of the
// blend that became active. `until` is null for one that runs.
// mode: read
// params: scenarios: list[str], versions: bool, since: datetime, until: datetime, limit: int
// returns: kind: str, name: str, number: int, at: datetime
CALL () {
  MATCH (s:Scenario)
  WHERE s.name IN $scenarios AND s.revision IS :: INTEGER NOT NULL
    AND s.at IS :: ZONED DATETIME NOT NULL
  RETURN 'scenario' AS kind, s.name AS name, s.revision AS number, s.at AS at
  UNION ALL
  MATCH (v:EmbeddingVersion {model: 'hybrid'})
  WHERE $versions AND v.version IS :: INTEGER NOT NULL
    AND v.activated_at IS :: ZONED DATETIME NOT NULL
  RETURN 'version' AS kind, v.model AS name, v.version AS number, v.activated_at AS at
}
WITH kind, name, number, at
WHERE at > $since AND at <= coalesce($until, datetime.realtime())
RETURN kind, name, number, at
ORDER BY at, number
LIMIT $limit
