// What is near an item, and near that?
// Paths of one and two steps along `SIMILAR`, to draw. Empty where no version of the model is
// active, or the item had no vector at the refresh.
// mode: read
// params: item_id: str, model: str, limit: int
// returns: path: path
MATCH path = (item:Item {item_id: $item_id})-[near:SIMILAR*1..2 {model: $model}]->(other:Item)
WHERE other <> item AND all(step IN near WHERE step.score IS :: INTEGER NOT NULL | FLOAT NOT NULL)
WITH path, reduce(product = 1.0, step IN near | product * step.score) AS product
ORDER BY length(path), product DESC, other.item_id
LIMIT $limit
RETURN path
