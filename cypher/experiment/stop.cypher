// Stops an experiment, if it runs; from then on everybody gets the promoted variant, if any.
// mode: write
// params: name: str, promoted: str
// returns: stopped: int
MATCH (e:Experiment {name: $name})
SET e.stopped_at = coalesce(e.stopped_at, datetime.realtime()), e.promoted = $promoted
RETURN count(*) AS stopped
