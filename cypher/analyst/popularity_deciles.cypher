// How is attention spread over popular and rare items?
// Items from the most to the least popular, in ten parts of the same size. `attention` is the share
// of all pairs of a person and an item they have; `exposure` that of a model's lists of similar
// items, where rank r counts 1 / log2(r + 1) as in DCG, and 0 where it has none.
// mode: read
// params: model: str
// returns: decile: int, items: int, most_people: int, attention: float, exposure: float
MATCH (item:Item)
WITH item, COUNT { MATCH (item)<-[:INTERACTED]-(user) RETURN DISTINCT user } AS people
ORDER BY people DESC, item.item_id
WITH collect([item, people]) AS ranked
UNWIND range(0, size(ranked) - 1) AS place
WITH 1 + place * 10 / size(ranked) AS decile, ranked[place][0] AS item, ranked[place][1] AS people
CALL (item) {
  OPTIONAL MATCH (item)<-[near:SIMILAR {model: $model}]-(:Item)
  WHERE 0 < near.rank <= 1e6
  RETURN sum(log(2) / log(near.rank + 1)) AS shown
}
WITH decile, count(*) AS items, max(people) AS most_people, sum(people) AS people,
     sum(shown) AS shown
ORDER BY decile
WITH collect({decile: decile, items: items, most_people: most_people, people: people,
              shown: shown}) AS deciles, sum(people) AS all_people, sum(shown) AS all_shown
UNWIND deciles AS part
RETURN part.decile AS decile, part.items AS items, part.most_people AS most_people,
       CASE all_people WHEN 0 THEN 0.0 ELSE toFloat(part.people) / all_people END AS attention,
       CASE all_shown WHEN 0 THEN 0.0 ELSE part.shown / all_shown END AS exposure
