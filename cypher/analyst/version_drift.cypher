// How much do two versions of a model disagree about what is near?
// Vectors of two trainings cannot be compared, but neighbours can. For the items of most people:
// how many of the `nearest` nearest among them are the same under both slots, and how far the
// cosines are apart on average. Empty where the model has vectors in one slot only, as after its
// first refresh.
// mode: read
// params: model: str, sample: int, nearest: int, limit: int
// returns: item_id: str, title: str, same: float, cosine_gap: float
MATCH (item:Item)
WITH item, 'embedding_' + $model + '_a' AS a, 'embedding_' + $model + '_b' AS b
WHERE item[a] IS :: LIST<FLOAT NOT NULL> NOT NULL AND any(x IN item[a] WHERE x <> 0)
  AND item[b] IS :: LIST<FLOAT NOT NULL> NOT NULL AND any(x IN item[b] WHERE x <> 0)
WITH item, item[a] AS a, item[b] AS b
ORDER BY COUNT { MATCH (item)<-[:INTERACTED]-(user) RETURN DISTINCT user } DESC, item.item_id
LIMIT $sample
WITH collect({item: item, a: a, b: b}) AS items
UNWIND items AS one
CALL (one, items) {
  UNWIND items AS two
  WITH one, two WHERE two.item <> one.item
  WITH two.item AS other, 2 * vector.similarity.cosine(one.a, two.a) - 1 AS a,
       2 * vector.similarity.cosine(one.b, two.b) - 1 AS b
  ORDER BY a DESC
  WITH collect([other, b]) AS by_a, avg(abs(a - b)) AS gap
  WITH by_a[..$nearest] AS near, [pair IN by_a | pair[1]] AS all, gap
  UNWIND all AS b
  WITH near, gap, b ORDER BY b DESC
  WITH near, gap, collect(b)[..$nearest][-1] AS least
  RETURN gap, 1.0 * size([pair IN near WHERE pair[1] >= least]) / size(near) AS same
}
WITH one.item AS item, gap, same
ORDER BY same, gap DESC, item.item_id
LIMIT $limit
RETURN item.item_id AS item_id, item.title AS title, same, gap AS cosine_gap
