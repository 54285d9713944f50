// The nodes of a range of element ids: labels and properties.
// mode: read
// params: prefix: str, first: int, last: int
// returns: rows: list[list[any]]
UNWIND range($first, $last) AS number
MATCH (n)
WHERE elementId(n) = $prefix + toString(number)
RETURN collect([labels(n), properties(n)]) AS rows
