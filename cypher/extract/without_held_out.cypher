// Takes held-out interactions out of the graph. Only ever run in a transaction that is rolled
// back: what a meta-path finds without them is then seen by the same transaction.
// mode: write
// params: rows: list[map]
// returns: removed: int
UNWIND $rows AS row
MATCH (:User {user_id: row.user_id})-[r:INTERACTED]->(item:Item)
WHERE item.item_id IN row.item_ids
DELETE r
RETURN count(r) AS removed
