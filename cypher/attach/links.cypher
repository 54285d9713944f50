// Where the relationships of a type lead from nodes of a label: the labels at both ends of a sample,
// and how many there are, by Neo4j's own count. User and INTERACTED stand for label and type.
// mode: read
// params: sample: int
// returns: pairs: list[map], total: int
MATCH (a:User)-[r:INTERACTED]->(b)
WITH a, b
LIMIT $sample
WITH head([label IN labels(a) WHERE NOT label STARTS WITH 'recsvc_']) AS source,
     head([label IN labels(b) WHERE NOT label STARTS WITH 'recsvc_']) AS target, count(*) AS count
WITH collect({source: source, target: target, count: count}) AS pairs
CALL () {
  MATCH (:User)-[r:INTERACTED]->()
  RETURN count(r) AS total
}
RETURN pairs, total
