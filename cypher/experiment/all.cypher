// Every stored experiment; null is what cannot be read of it.
// mode: read
// params: limit: int
// returns: name: str, revision: int, document: str, at: datetime, stopped_at: datetime, promoted: str, promoted_until: datetime
MATCH (e:Experiment)
WHERE e.name IS :: STRING NOT NULL AND e.revision IS :: INTEGER NOT NULL AND e.document IS NOT NULL
RETURN e.name AS name, e.revision AS revision,
       CASE WHEN e.document IS :: STRING THEN e.document END AS document,
       CASE WHEN e.at IS :: ZONED DATETIME THEN e.at END AS at,
       CASE WHEN e.stopped_at IS :: ZONED DATETIME THEN e.stopped_at END AS stopped_at,
       CASE WHEN e.promoted IS :: STRING THEN e.promoted END AS promoted,
       CASE WHEN e.promoted_until IS :: ZONED DATETIME THEN e.promoted_until END AS promoted_until
ORDER BY name
LIMIT $limit
