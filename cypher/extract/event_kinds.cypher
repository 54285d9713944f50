// The kinds of events that interactions have, as the graph spells them.
// mode: read
// returns: kinds: list[str]
MATCH (:User)-[r:INTERACTED]->(:Item)
WITH DISTINCT coalesce(r.event, 'interaction') AS kind
WHERE kind IS :: STRING
RETURN collect(kind) AS kinds
