// Items whose id begins with some text, or whose title has some words (in Lucene's
// syntax; of the index of signs, where nothing typed is a word):
// the one with this very id, those with this very title, then those with the most interactions.
// Of more than 1,000 with these words, those are looked at that Lucene names.
// mode: read
// params: prefix: str, words: str, index: str, limit: int
// returns: id: str, title: str, count: int
CALL () {
  MATCH (item:Item)
  WHERE item.item_id STARTS WITH $prefix
  RETURN item
  ORDER BY item.item_id
  LIMIT $limit
  UNION
  WITH $words AS words
  WHERE words <> ''
  CALL db.index.fulltext.queryNodes($index, words, {limit: 1000}) YIELD node
  RETURN node AS item
}
WITH item
WHERE item.item_id IS :: STRING NOT NULL
WITH item, COUNT { (item)<-[:INTERACTED]-() } AS count
RETURN item.item_id AS id, nullIf(toStringOrNull(item.title), 'NaN') AS title, count
ORDER BY id = $prefix DESC, coalesce(toLower(normalize(title)) = toLower(normalize($prefix)), false) DESC,
         count DESC, id
LIMIT $limit
