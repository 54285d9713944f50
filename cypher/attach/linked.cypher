// Which labels are linked over which types, as far as Neo4j's own counts tell: each label at the
// start of some is put with each at the end of some. The ends of relationships have labels only
// where the nodes are returned too.
// mode: read
// returns: nodes: list[any], relationships: list[any]
CALL db.schema.visualization() YIELD nodes, relationships
RETURN nodes, relationships
