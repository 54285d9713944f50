// Which categories do the lists of similar items show more than people ask for?
// An item counts in each of its categories. `attention` is the share of all pairs of a person and
// an item they have, `exposure` that of a model's lists (rank r counts 1 / log2(r + 1)), `lift`
// the second over the first. Only categories of `least_items` or more. Empty where no version of
// the
// model is active, or no category has so many items.
// mode: read
// params: model: str, least_items: int, limit: int
// returns: category_id: str, name: str, kind: str, items: int, attention: float,
//   exposure: float, lift: float
MATCH (item:Item)
CALL (item) {
  OPTIONAL MATCH (item)<-[near:SIMILAR {model: $model}]-(:Item)
  WHERE 0 < near.rank <= 1e6
  RETURN sum(log(2) / log(near.rank + 1)) AS shown
}
WITH item, shown, COUNT { MATCH (item)<-[:INTERACTED]-(user) RETURN DISTINCT user } AS people
WITH collect({item: item, shown: shown, people: people}) AS all, sum(shown) AS all_shown,
     sum(people) AS all_people
WHERE all_shown > 0 AND all_people > 0
UNWIND all AS each
WITH each.item AS item, each.shown AS shown, each.people AS people, all_shown, all_people
MATCH (item)-[:IN_CATEGORY]->(category:Category)
WITH DISTINCT category, item, people, shown, all_shown, all_people
WITH category, all_shown, all_people, count(*) AS items, sum(people) AS people,
     sum(shown) AS shown
WITH category, items, 1.0 * people / all_people AS attention, shown / all_shown AS exposure
WHERE items >= $least_items AND attention > 0
WITH *, exposure / attention AS lift
ORDER BY round(lift, 9) DESC, category.category_id
LIMIT $limit
RETURN category.category_id AS category_id, category.name AS name, category.kind AS kind, items,
       attention, exposure, lift
