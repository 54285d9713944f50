// Histogram of the values of an event, or of their logarithms: bins of one width from `lowest` on,
// `highest_bin` the last. Bins without a value are left out.
// mode: read
// params: event: str, logarithmic: bool, lowest: float, width: float, highest_bin: int
// returns: bin: int, total: int
MATCH (:User)-[r:INTERACTED]->(:Item)
WHERE coalesce(r.event, 'interaction') = $event AND -1e6 <= r.value <= 1e6
WITH CASE WHEN $logarithmic THEN log(r.value) ELSE toFloat(r.value) END AS value
// Divided apart, since the difference of two large numbers may not be finite.
WITH toInteger(floor(value / $width - $lowest / $width)) AS bin
RETURN CASE WHEN bin > $highest_bin THEN $highest_bin WHEN bin < 0 THEN 0 ELSE bin END AS bin,
       count(*) AS total
ORDER BY bin
