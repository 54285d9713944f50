// Makes those of the nodes that a batch of changes touches that may be made, and says which were
// not there before. Each row has `id` and `make`; the ids of a list are distinct.
// mode: write
// params: users: list[map], items: list[map], categories: list[map]
// returns: kind: str, id: str, made: bool
UNWIND [['user', $users], ['item', $items], ['category', $categories]] AS part
WITH part[0] AS kind, part[1] AS rows
UNWIND rows AS row
CALL (kind, row) {
  WITH kind, row
  WHERE kind = 'user' AND row.make
  OPTIONAL MATCH (known:User {user_id: row.id})
  WITH row, known IS NULL AS made
  MERGE (:User {user_id: row.id})
  RETURN made
UNION ALL
  WITH kind, row
  WHERE kind = 'user' AND NOT row.make
  MATCH (:User {user_id: row.id})
  RETURN false AS made
UNION ALL
  WITH kind, row
  WHERE kind = 'item'
  OPTIONAL MATCH (known:Item {item_id: row.id})
  WITH row, known IS NULL AS made
  MERGE (:Item {item_id: row.id})
  RETURN made
UNION ALL
  WITH kind, row
  WHERE kind = 'category'
  OPTIONAL MATCH (known:Category {category_id: row.id})
  WITH row, known IS NULL AS made
  MERGE (:Category {category_id: row.id})
  RETURN made
}
RETURN kind, row.id AS id, made
