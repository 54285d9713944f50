// Notes up to which position changes were published under a name.
// mode: write
// params: name: str, position: int
MERGE (reader:ChangeReader {name: $name})
SET reader.position = $position
