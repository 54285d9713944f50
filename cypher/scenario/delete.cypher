// Deletes a scenario with all its revisions.
// mode: write
// params: name: str
// returns: deleted: int
MATCH (s:Scenario {name: $name})
DELETE s
RETURN count(*) AS deleted
