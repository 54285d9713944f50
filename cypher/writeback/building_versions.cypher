// Versions that a refresh has begun and not finished; `recent` within the last hours.
// mode: read
// params: hours: int
// returns: model: str, version: int, started_at: datetime, recent: bool
MATCH (v:EmbeddingVersion {status: 'building'})
RETURN v.model AS model, v.version AS version, v.started_at AS started_at,
       v.started_at > datetime() - duration({hours: $hours}) AS recent
ORDER BY model, version
