// The kept revisions of a scenario, newest first; null is what cannot be read of one.
// mode: read
// params: name: str, longest: int, limit: int
// returns: revision: int, document: str, at: datetime
MATCH (s:Scenario {name: $name})
WHERE s.revision IS :: INTEGER NOT NULL AND 1 <= s.revision <= 2147483647
RETURN s.revision AS revision,
       CASE WHEN s.document IS :: STRING AND size(s.document) <= $longest THEN s.document END AS document,
       CASE WHEN s.at IS :: ZONED DATETIME AND 1 < s.at.year < 9999 THEN s.at END AS at
ORDER BY revision DESC
LIMIT $limit
