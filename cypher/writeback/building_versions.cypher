// Versions that a refresh started within the last hours and has not finished.
// mode: read
// params: hours: int
// returns: model: str, version: int, started_at: datetime
MATCH (v:EmbeddingVersion {status: 'building'})
WHERE v.started_at > datetime() - duration({hours: $hours})
RETURN v.model AS model, v.version AS version, v.started_at AS started_at
ORDER BY model, version
