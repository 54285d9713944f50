// Categories whose id begins with some text, or whose name has some words (in Lucene's
// syntax; of the index of signs, where nothing typed is a word):
// the one with this very id, those with this very name, then those with the most items.
// Of more than 1,000 with these words, those are looked at that Lucene names.
// mode: read
// params: prefix: str, words: str, index: str, limit: int
// returns: id: str, title: str, count: int
CALL () {
  MATCH (category:Category)
  WHERE category.category_id STARTS WITH $prefix
  RETURN category
  ORDER BY category.category_id
  LIMIT $limit
  UNION
  WITH $words AS words
  WHERE words <> ''
  CALL db.index.fulltext.queryNodes($index, words, {limit: 1000}) YIELD node
  RETURN node AS category
}
WITH category
WHERE category.category_id IS :: STRING NOT NULL
WITH category, COUNT { (category)<-[:IN_CATEGORY]-() } AS count
RETURN category.category_id AS id, nullIf(toStringOrNull(category.name), 'NaN') AS title, count
ORDER BY id = $prefix DESC, coalesce(toLower(normalize(title)) = toLower(normalize($prefix)), false) DESC,
         count DESC, id
LIMIT $limit
