// Stores an experiment, which runs from now on, and ends what was promoted for the same lists. Of
// one that is there, or was deleted, it is the next revision; one that cannot be read counts as 0.
// It is not stored where another one runs for the same lists, a scenario is missing, `limit` others
// are there, or `seen` is not null and not the revision that is there, `stored`, which is 0 where
// there is none.
// mode: write
// params: name: str, document: str, place: str, scenarios: list[str], seen: int, limit: int, longest: int
// returns: revision: int, at: datetime, running: str, missing: str, others: int, stored: int
CALL () {
  MATCH (other:Experiment)
  WHERE other.name IS :: STRING NOT NULL AND 1 <= size(other.name) <= $longest
    AND other.name <> $name AND other.document IS NOT NULL
  WITH other, other.place = $place AS same
  RETURN count(*) AS others,
         collect(CASE WHEN same AND other.stopped_at IS NULL THEN other.name END)[0] AS running,
         collect(CASE WHEN same AND other.promoted IS NOT NULL AND other.promoted_until IS NULL
           THEN other END) AS promoted
}
WITH *, [each IN $scenarios WHERE NOT EXISTS { (:Scenario {name: each}) }][0] AS missing,
     datetime.realtime() AS at
OPTIONAL MATCH (old:Experiment {name: $name})
WITH *, CASE WHEN old.revision IS :: INTEGER NOT NULL AND 1 <= old.revision <= 2147483647
  THEN old.revision ELSE 0 END AS last
WITH *, last + 1 AS revision, CASE WHEN old.document IS NULL THEN 0 ELSE last END AS stored
FOREACH (_ IN CASE WHEN running IS NULL AND missing IS NULL AND others < $limit
    AND coalesce($seen = stored, true) THEN [1] ELSE [] END |
  MERGE (e:Experiment {name: $name})
  SET e = {name: $name, revision: revision, document: $document, place: $place,
           scenarios: $scenarios, at: at}
  FOREACH (other IN promoted | SET other.promoted_until = at))
RETURN revision, at, running, missing, others, stored
