// Stores a document as the next revision of a scenario, of which `keep` are kept. With
// `from_revision` it is the document of this one; `revision` is 0 where there is none. No more than
// `limit` names are stored. Nothing is where `seen` is not null and not the newest revision,
// `stored`, which is 0 where there is none.
// mode: write
// params: name: str, document: str, from_revision: int, seen: int, keep: int, limit: int
// returns: revision: int, stored: int, names: int
CALL () {
  MATCH (other:Scenario)
  WHERE other.name <> $name
  RETURN count(DISTINCT other.name) AS names
}
OPTIONAL MATCH (s:Scenario {name: $name})
WHERE s.revision IS :: INTEGER NOT NULL AND 1 <= s.revision <= 2147483647
WITH names, s ORDER BY s.revision DESC
WITH names, collect(s) AS stored
WITH names, stored, coalesce(stored[0].revision, 0) + 1 AS next,
     CASE WHEN $from_revision = 0 THEN $document
       ELSE [each IN stored WHERE each.revision = $from_revision | each.document][0] END AS document
FOREACH (_ IN CASE WHEN document IS :: STRING NOT NULL AND names < $limit
    AND coalesce($seen = next - 1, true) THEN [1] ELSE [] END |
  CREATE (:Scenario {name: $name, revision: next, document: document, at: datetime.realtime()})
  FOREACH (old IN stored[$keep - 1..] | DELETE old))
RETURN CASE WHEN document IS :: STRING NOT NULL THEN next ELSE 0 END AS revision, next - 1 AS stored,
       names
