// How many items can be reached from the lists of similar items?
// For each model: items that are on some list, and the share of all places that the hundredth part
// of the items that is shown most has. Empty where no version of a model with vectors is active.
// mode: read
// returns: model: str, lists: int, reached: int, share: float, top_share: float
CALL () {
  MATCH (:Item)
  RETURN count(*) AS all
}
MATCH (:Item)-[near:SIMILAR]->(item:Item)
WITH all, near.model AS model, item, count(*) AS shown
ORDER BY shown DESC
WITH all, model, collect(shown) AS shown, sum(shown) AS places
CALL (model) {
  MATCH (one:Item)
  WHERE EXISTS { (one)-[:SIMILAR {model: model}]->() }
  RETURN count(*) AS lists
}
RETURN model, lists, size(shown) AS reached, 1.0 * size(shown) / all AS share,
       1.0 * reduce(sum = 0, n IN shown[..toInteger(ceil(all / 100.0))] | sum + n) / places
         AS top_share
ORDER BY model
