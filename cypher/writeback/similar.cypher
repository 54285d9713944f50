// Replaces the nearest neighbours of some items under one model, if this version of it is active.
// mode: write
// params: model: str, version: int, rows: list[map]
// returns: written: int
MATCH (:EmbeddingVersion {model: $model, version: $version, status: 'active'})
UNWIND $rows AS row
MATCH (item:Item {item_id: row.item_id})
CALL (item) {
  OPTIONAL MATCH (item)-[old:SIMILAR {model: $model}]->(:Item)
  DELETE old
  RETURN count(*) AS removed
}
WITH item, row
UNWIND range(0, size(row.neighbours) - 1) AS position
MATCH (neighbour:Item {item_id: row.neighbours[position]})
CREATE (item)-[:SIMILAR {model: $model, score: row.scores[position], rank: position + 1}]->
       (neighbour)
RETURN count(*) AS written
