// Deletes a scenario with all its revisions, unless an experiment that runs makes lists by it.
// mode: write
// params: name: str
// returns: deleted: int, used_by: str
OPTIONAL MATCH (e:Experiment)
WHERE e.document IS NOT NULL AND e.stopped_at IS NULL
  AND CASE WHEN e.scenarios IS :: LIST<STRING NOT NULL> THEN $name IN e.scenarios ELSE false END
WITH min(e.name) AS used_by
OPTIONAL MATCH (s:Scenario {name: $name})
WITH used_by, collect(s) AS stored, count(s) AS deleted
FOREACH (s IN CASE WHEN used_by IS NULL THEN stored ELSE [] END | DELETE s)
RETURN deleted, used_by
