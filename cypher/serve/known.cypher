// Which of some users, items and categories there are.
// mode: read
// params: user_ids: list[str], item_ids: list[str], category_ids: list[str]
// returns: user_ids: list[str], item_ids: list[str], category_ids: list[str]
RETURN
  COLLECT { MATCH (u:User) WHERE u.user_id IN $user_ids RETURN u.user_id } AS user_ids,
  COLLECT { MATCH (i:Item) WHERE i.item_id IN $item_ids RETURN i.item_id } AS item_ids,
  COLLECT {
    MATCH (c:Category) WHERE c.category_id IN $category_ids RETURN c.category_id
  } AS category_ids
