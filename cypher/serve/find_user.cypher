// Users whose id begins with some text, or whose name has some words (in Lucene's
// syntax; of the index of signs, where nothing typed is a word):
// the one with this very id, those with this very name, then those with the most interactions.
// Of more than 1,000 with these words, those are looked at that Lucene names.
// mode: read
// params: prefix: str, words: str, index: str, limit: int
// returns: id: str, title: str, count: int
CALL () {
  MATCH (user:User)
  WHERE user.user_id STARTS WITH $prefix
  RETURN user
  ORDER BY user.user_id
  LIMIT $limit
  UNION
  WITH $words AS words
  WHERE words <> ''
  CALL db.index.fulltext.queryNodes($index, words, {limit: 1000}) YIELD node
  RETURN node AS user
}
WITH user
WHERE user.user_id IS :: STRING NOT NULL
WITH user, user.user_id AS id, nullIf(toStringOrNull(user.name), 'NaN') AS title,
     COUNT { (user)-[:INTERACTED]->() } AS interactions
ORDER BY id = $prefix DESC, coalesce(toLower(normalize(title)) = toLower(normalize($prefix)), false) DESC,
         interactions DESC, id
LIMIT $limit
RETURN id, title, COUNT {
  MATCH (user)-[:INTERACTED]->(item:Item)
  WHERE item.item_id IS :: STRING NOT NULL
  RETURN DISTINCT item
} AS count
