// Stores an experiment, which runs from now on; of one that is there it is the next revision. It is
// not stored where another one runs for the same lists, or `limit` others are there.
// mode: write
// params: name: str, document: str, place: str, limit: int
// returns: revision: int, running: str, others: int
CALL () {
  MATCH (other:Experiment)
  WHERE other.name <> $name
  RETURN count(*) AS others,
         collect(CASE WHEN other.place = $place AND other.stopped_at IS NULL THEN other.name END)[0]
           AS running
}
OPTIONAL MATCH (old:Experiment {name: $name})
WITH others, running, coalesce(old.revision, 0) + 1 AS revision
FOREACH (_ IN CASE WHEN running IS NULL AND others < $limit THEN [1] ELSE [] END |
  MERGE (e:Experiment {name: $name})
  SET e.revision = revision, e.document = $document, e.place = $place, e.at = datetime.realtime()
  REMOVE e.stopped_at, e.promoted)
RETURN revision, running, others
