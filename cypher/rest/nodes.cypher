// Locks the nodes that a batch of changes touches and makes those that may be made. Everything is
// locked in one order (users, items, categories, each by id), in which events lock too, so that
// such transactions wait for each other instead of dead-locking. Each row has `id` and `make`;
// the rows of a list are sorted and their ids distinct.
// mode: write
// params: users: list[map], items: list[map], categories: list[map]
// returns: kind: str, id: str, made: bool
UNWIND [['user', $users], ['item', $items], ['category', $categories]] AS part
WITH part[0] AS kind, part[1] AS rows
UNWIND rows AS row
CALL (kind, row) {
  WITH kind, row
  WHERE kind = 'user' AND row.make
  MERGE (u:User {user_id: row.id})
  ON CREATE SET u.locked = false
  WITH u, u.locked IS NOT NULL AS made
  SET u.locked = true
  REMOVE u.locked
  RETURN made
UNION ALL
  WITH kind, row
  WHERE kind = 'user' AND NOT row.make
  MATCH (u:User {user_id: row.id})
  SET u.locked = true
  REMOVE u.locked
  RETURN false AS made
UNION ALL
  WITH kind, row
  WHERE kind = 'item'
  MERGE (i:Item {item_id: row.id})
  ON CREATE SET i.locked = false
  WITH i, i.locked IS NOT NULL AS made
  SET i.locked = true
  REMOVE i.locked
  RETURN made
UNION ALL
  WITH kind, row
  WHERE kind = 'category'
  MERGE (c:Category {category_id: row.id})
  ON CREATE SET c.locked = false
  WITH c, c.locked IS NOT NULL AS made
  SET c.locked = true
  REMOVE c.locked
  RETURN made
}
RETURN kind, row.id AS id, made
