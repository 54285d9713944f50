// How often each value of an event comes; nothing where there are more than `limit` of them.
// mode: read
// params: event: str, limit: int
// returns: value: float, total: int
CALL () {
  // Stops at the first value too many, so that it never holds more than that.
  MATCH (:User)-[r:INTERACTED]->(:Item)
  WHERE coalesce(r.event, 'interaction') = $event AND -1e6 <= r.value <= 1e6
  RETURN DISTINCT toFloat(r.value) AS value
  LIMIT $limit + 1
}
WITH count(value) AS distinct_values
WHERE distinct_values <= $limit
MATCH (:User)-[r:INTERACTED]->(:Item)
WHERE coalesce(r.event, 'interaction') = $event AND -1e6 <= r.value <= 1e6
RETURN toFloat(r.value) AS value, count(*) AS total
ORDER BY value
