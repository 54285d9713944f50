// Every stored scenario, each in its newest revision; null is what cannot be read of it.
// mode: read
// params: limit: int, longest: int, characters: int
// returns: name: str, revision: int, document: str, at: datetime
MATCH (s:Scenario)
WHERE s.name IS :: STRING NOT NULL AND 1 <= size(s.name) <= $longest AND s.revision IS :: INTEGER NOT NULL AND 1 <= s.revision <= 2147483647
WITH s ORDER BY s.revision DESC
WITH s.name AS name, collect(s)[0] AS newest
RETURN name, newest.revision AS revision,
       CASE WHEN newest.document IS :: STRING AND size(newest.document) <= $characters
         THEN newest.document END AS document,
       CASE WHEN newest.at IS :: ZONED DATETIME AND 1 < newest.at.year < 9999 THEN newest.at END AS at
ORDER BY name
LIMIT $limit
