// What there is to learn from: users and items with ids, nodes with these labels, and anything that
// is none of ours.
// mode: read
// returns: users: bool, items: bool, labelled_users: bool, labelled_items: bool, others: bool
RETURN
  EXISTS { (user:User) WHERE user.user_id IS NOT NULL } AS users,
  EXISTS { (item:Item) WHERE item.item_id IS NOT NULL } AS items,
  EXISTS { (user:User) } AS labelled_users,
  EXISTS { (item:Item) } AS labelled_items,
  EXISTS {
    (node)
    WHERE NOT node:EmbeddingVersion AND NOT node:SnapshotPart AND NOT node:RefreshLease
      AND NOT node:Deletion AND NOT node:Event AND NOT node:Outcome AND NOT node:Scenario
      AND NOT node:Experiment AND NOT node:Change AND NOT node:ChangeFeed
      AND NOT node:ChangeReader
      AND NOT node:Category
  } AS others
