// The nodes of a range of element ids: labels and properties.
// mode: read
// params: prefix: str, first: int, last: int
// returns: rows: list[list[any]]
WITH [number IN range($first, $last) | $prefix + toString(number)] AS ids
MATCH (n)
WHERE elementId(n) IN ids
RETURN collect([labels(n), properties(n)]) AS rows
