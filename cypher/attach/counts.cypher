// What counts as users, items, categories and as what is between them.
// mode: read
// returns: users: int, items: int, categories: int, interactions: int, in_category: int,
//   follows: int
RETURN
  COUNT { MATCH (user:User) WHERE user.user_id IS NOT NULL RETURN user } AS users,
  COUNT { MATCH (item:Item) WHERE item.item_id IS NOT NULL RETURN item } AS items,
  COUNT { MATCH (category:Category) WHERE category.category_id IS NOT NULL RETURN category }
    AS categories,
  COUNT { (user:User)-[:INTERACTED]->(item:Item) } AS interactions,
  COUNT { (item:Item)-[:IN_CATEGORY]->(category:Category) } AS in_category,
  COUNT { (user:User)-[:FOLLOWS]->(other:User) } AS follows
