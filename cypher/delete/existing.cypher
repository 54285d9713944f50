// Which of some users and items there are.
// mode: read
// params: user_ids: list[str], item_ids: list[str]
// returns: id: str, kind: str
UNWIND $user_ids AS user_id
MATCH (u:User {user_id: user_id})
RETURN u.user_id AS id, 'user' AS kind
UNION ALL
UNWIND $item_ids AS item_id
MATCH (i:Item {item_id: item_id})
RETURN i.item_id AS id, 'item' AS kind
