// Deletes an experiment. Its outcomes stay, and so does its last revision: one of the same name does
// not count them.
// mode: write
// params: name: str
// returns: deleted: int
MATCH (e:Experiment {name: $name})
WHERE e.document IS NOT NULL
SET e = {name: $name, revision: e.revision}
RETURN count(*) AS deleted
