// Every index of nodes (`of`: NODE), with those of constraints, which `constraint` names, and of
// relationships (RELATIONSHIP), whose type is in `labels`.
// mode: read
// returns: name: str, type: str, of: str, labels: list[str], properties: list[str],
//   constraint: str, state: str
SHOW INDEXES YIELD name, type, entityType, labelsOrTypes, properties, owningConstraint, state
WHERE type <> 'LOOKUP'
RETURN name, type, entityType AS of, labelsOrTypes AS labels, properties,
       owningConstraint AS constraint, state
