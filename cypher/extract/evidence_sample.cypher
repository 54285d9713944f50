// Some nodes that can be evidence: of the first ones, in the order of their relationships from the
// most to the fewest, more among those with many. A user is evidence of those who follow them.
// mode: read
// params: kind: str, first: int, sample: int
// returns: ids: list[str]
CALL () {
  WITH 1 AS one WHERE $kind = 'item'
  MATCH (node:Item) WHERE node.item_id IS :: STRING NOT NULL
  RETURN node, node.item_id AS id LIMIT $first
  UNION ALL
  WITH 1 AS one WHERE $kind = 'user'
  MATCH (node:User) WHERE node.user_id IS :: STRING NOT NULL AND EXISTS { (node)<-[:FOLLOWS]-() }
  RETURN node, node.user_id AS id LIMIT $first
  UNION ALL
  WITH 1 AS one WHERE $kind = 'category'
  MATCH (node:Category) WHERE node.category_id IS :: STRING NOT NULL
  RETURN node, node.category_id AS id LIMIT $first
}
WITH id, COUNT { (node)--() } AS degree
WHERE degree > 0
WITH id, degree
ORDER BY degree DESC, id
WITH collect(id) AS ids
UNWIND range(0, $sample - 1) AS number
WITH ids, toInteger(size(ids) * (1.0 * number / $sample) ^ 2) AS place
WHERE place < size(ids)
WITH DISTINCT ids[place] AS id
RETURN collect(id) AS ids
