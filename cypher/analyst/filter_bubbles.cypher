// Who lives in a bubble of one taste?
// Each item counts for its strongest category. `bits` is the entropy of a user's categories: 0
// where there is only one. Users with fewer than `least_items` are left out.
// mode: read
// params: least_items: int, limit: int
// returns: user_id: str, items: int, category: str, share: float, bits: float
MATCH (item:Item)-[link:IN_CATEGORY]->(category:Category)
WITH item, category ORDER BY link.weight DESC, category.category_id
WITH item, head(collect(category)) AS category
MATCH (item)<-[:INTERACTED]-(user:User)
WITH user, category, count(DISTINCT item) AS items
ORDER BY items DESC, category.category_id
WITH user, head(collect(category)) AS category, collect(items) AS counts, sum(items) AS items
WHERE items >= $least_items
WITH user, category, items, toFloat(counts[0]) / items AS share,
     reduce(bits = 0.0, n IN counts | bits - n * log(1.0 * n / items) / items / log(2)) AS bits
ORDER BY round(bits, 9), user.user_id
LIMIT $limit
RETURN user.user_id AS user_id, items, coalesce(category.name, category.category_id) AS category,
       share, bits
