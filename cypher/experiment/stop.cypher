// Stops an experiment, if it runs; from then on everybody gets the promoted variant, if any, and no
// other one that was promoted for the same lists. Nothing happens where another one runs for these
// and something is promoted, or `seen` is not null and not its revision.
// mode: write
// params: name: str, promoted: str, seen: int
// returns: running: str, name: str, revision: int, document: str, at: datetime, stopped_at: datetime, promoted: str, promoted_until: datetime
MATCH (e:Experiment {name: $name})
WHERE e.document IS :: STRING NOT NULL
CALL (e) {
  MATCH (other:Experiment {place: e.place})
  WHERE other.name <> e.name AND $promoted IS NOT NULL
  RETURN collect(CASE WHEN other.stopped_at IS NULL THEN other.name END)[0] AS running,
         collect(CASE WHEN other.promoted IS NOT NULL AND other.promoted_until IS NULL
           THEN other END) AS others
}
WITH e, running, others, datetime.realtime() AS now
FOREACH (_ IN CASE WHEN running IS NULL AND coalesce($seen = e.revision, true) THEN [1] ELSE [] END |
  SET e.stopped_at = CASE WHEN e.stopped_at IS :: ZONED DATETIME AND 1 < e.stopped_at.year < 9999
        THEN e.stopped_at ELSE now END,
      e.promoted = $promoted
  REMOVE e.promoted_until
  FOREACH (other IN others | SET other.promoted_until = now))
RETURN running, e.name AS name, e.revision AS revision, e.document AS document,
       CASE WHEN e.at IS :: ZONED DATETIME AND 1 < e.at.year < 9999 THEN e.at END AS at,
       e.stopped_at AS stopped_at, e.promoted AS promoted, e.promoted_until AS promoted_until
