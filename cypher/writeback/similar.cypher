// Replaces the nearest neighbours of some items under one model, if this version of it is active.
// A relationship to an item that stays a neighbour is kept, with its new rank and score.
// mode: write
// params: model: str, version: int, rows: list[map]
// returns: written: int
MATCH (:EmbeddingVersion {model: $model, version: $version, status: 'active'})
UNWIND $rows AS row
MATCH (item:Item {item_id: row.item_id})
WITH item, row, range(0, size(row.neighbours) - 1) AS places
CALL (item, row, places) {
  OPTIONAL MATCH (item)-[old:SIMILAR {model: $model}]->(other:Item)
  WITH row, head([p IN places WHERE row.neighbours[p] = other.item_id]) AS place, collect(old) AS old
  FOREACH (gone IN CASE WHEN place IS NULL THEN old ELSE tail(old) END | DELETE gone)
  FOREACH (kept IN CASE WHEN place IS NULL THEN [] ELSE old[..1] END |
    SET kept.score = row.scores[place], kept.rank = place + 1)
  RETURN collect(place) AS kept
}
CALL (item, row, places, kept) {
  UNWIND [p IN places WHERE NOT p IN kept] AS place
  MATCH (neighbour:Item {item_id: row.neighbours[place]})
  CREATE (item)-[:SIMILAR {model: $model, score: row.scores[place], rank: place + 1}]->(neighbour)
  RETURN count(*) AS created
}
RETURN sum(size(kept) + created) AS written
