// Categories by kind, and how often items are in them; a category without a kind has kind ''.
// mode: read
// params: limit: int
// returns: kind: str, categories: int, links: int
MATCH (c:Category)
RETURN coalesce(nullIf(toStringOrNull(c.kind), 'NaN'), '') AS kind, count(*) AS categories,
       sum(COUNT { (c)<-[:IN_CATEGORY]-(:Item) }) AS links
ORDER BY categories DESC, kind
LIMIT $limit
