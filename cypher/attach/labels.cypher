// Labels and how many nodes have them; those of nodes of ours are left out.
// mode: read
// returns: label: str, count: int
CALL db.labels() YIELD label
WHERE NOT label STARTS WITH 'recsvc_'
CALL (label) {
  MATCH (n:$(label))
  RETURN count(n) AS count
}
WITH label, count
WHERE count > 0
RETURN label, count
ORDER BY count DESC, label
