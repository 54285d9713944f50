// Deletes an experiment. Its outcomes stay.
// mode: write
// params: name: str
// returns: deleted: int
MATCH (e:Experiment {name: $name})
DELETE e
RETURN count(*) AS deleted
