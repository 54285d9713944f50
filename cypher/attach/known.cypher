// Labels, types of relationships and properties that the graph has.
// mode: read
// returns: labels: list[str], types: list[str], properties: list[str]
RETURN
  COLLECT { CALL db.labels() YIELD label RETURN label } AS labels,
  COLLECT { CALL db.relationshipTypes() YIELD relationshipType RETURN relationshipType } AS types,
  COLLECT { CALL db.propertyKeys() YIELD propertyKey RETURN propertyKey } AS properties
