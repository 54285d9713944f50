// Every stored experiment; null is what cannot be read of it, a revision of 0, and an end of 1970.
// mode: read
// params: limit: int, longest: int, characters: int
// returns: name: str, revision: int, document: str, at: datetime, stopped_at: datetime, promoted: str, promoted_until: datetime
MATCH (e:Experiment)
WHERE e.name IS :: STRING NOT NULL AND 1 <= size(e.name) <= $longest AND e.document IS NOT NULL
RETURN e.name AS name,
       CASE WHEN e.revision IS :: INTEGER NOT NULL AND 1 <= e.revision <= 2147483647
         THEN e.revision ELSE 0 END AS revision,
       CASE WHEN e.document IS :: STRING AND size(e.document) <= $characters
         THEN e.document END AS document,
       CASE WHEN e.at IS :: ZONED DATETIME AND 1 < e.at.year < 9999 THEN e.at END AS at,
       CASE WHEN e.stopped_at IS :: ZONED DATETIME AND 1 < e.stopped_at.year < 9999 THEN e.stopped_at
         WHEN e.stopped_at IS NOT NULL THEN datetime({epochSeconds: 0}) END AS stopped_at,
       CASE WHEN e.promoted IS :: STRING THEN e.promoted END AS promoted,
       CASE WHEN e.promoted_until IS :: ZONED DATETIME AND 1 < e.promoted_until.year < 9999
           THEN e.promoted_until
         WHEN e.promoted_until IS NOT NULL THEN datetime({epochSeconds: 0}) END AS promoted_until
ORDER BY name
LIMIT $limit
