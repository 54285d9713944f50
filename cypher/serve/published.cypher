// The position up to which changes were published under a name; none where nothing was.
// mode: read
// params: name: str
// returns: position: int
MATCH (reader:ChangeReader {name: $name})
WHERE reader.position IS :: INTEGER NOT NULL
RETURN max(reader.position) AS position
