// Who lives in a bubble of one taste?
// Each kind of category by itself: an item counts for its strongest category of the kind. `bits`
// is the entropy of a user's categories: 0 where there is only one. Users with fewer than
// `least_items` items in such a category are left out. Empty where nobody has so many items in
// categories of one kind.
// mode: read
// params: least_items: int, limit: int
// returns: user_id: str, kind: str, items: int, category: str, share: float, bits: float
MATCH (item:Item)-[link:IN_CATEGORY]->(category:Category)
WITH item, category, coalesce(category.kind, '') AS kind
ORDER BY link.weight DESC, category.category_id
WITH item, kind, head(collect(category)) AS category
MATCH (item)<-[:INTERACTED]-(user:User)
WITH user, kind, category, count(DISTINCT item) AS items
ORDER BY items DESC, category.category_id
WITH user, kind, head(collect(category)) AS category, collect(items) AS counts, sum(items) AS items
WHERE items >= $least_items
WITH user, category, items, toFloat(counts[0]) / items AS share,
     reduce(bits = 0.0, n IN counts | bits - n * log(1.0 * n / items) / items / log(2)) AS bits
ORDER BY round(bits, 9), user.user_id, category.kind
LIMIT $limit
RETURN user.user_id AS user_id, category.kind AS kind, items,
       coalesce(category.name, category.category_id) AS category, share, bits
