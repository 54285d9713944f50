// Between which labels there are relationships of which types, and how many.
// mode: read
// returns: source: str, type: str, target: str, count: int
MATCH (a)-[r]->(b)
WHERE NOT type(r) STARTS WITH 'recsvc_'
WITH head([label IN labels(a) WHERE NOT label STARTS WITH 'recsvc_']) AS source, type(r) AS type,
     head([label IN labels(b) WHERE NOT label STARTS WITH 'recsvc_']) AS target, count(*) AS count
WHERE source IS NOT NULL AND target IS NOT NULL
RETURN source, type, target, count
ORDER BY count DESC, source, type, target
