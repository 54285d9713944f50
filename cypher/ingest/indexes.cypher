// Every index of nodes, those of constraints among them, which `constraint` names.
// mode: read
// returns: name: str, type: str, labels: list[str], properties: list[str], constraint: str,
//   state: str
SHOW INDEXES YIELD name, type, entityType, labelsOrTypes, properties, owningConstraint, state
WHERE entityType = 'NODE' AND type <> 'LOOKUP'
RETURN name, type, labelsOrTypes AS labels, properties, owningConstraint AS constraint, state
