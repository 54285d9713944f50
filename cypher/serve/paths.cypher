// The paths of an explain query as lists of what they lead over, in one record: whole nodes would
// bring their vectors along, and each record has its price.
// mode: read
// each: explain = explain/*
// params: pairs: list[map], user_id: str, limit: int
// returns: paths: list[list[any]]
CALL () {
<<explain>>
}
WITH evidence_id, item_id, strength,
     CASE WHEN start IS NULL THEN [path] ELSE [start, path] END AS parts
WITH evidence_id, item_id, strength,
  reduce(all = [], part IN parts | all + [node IN nodes(part) | [
    elementId(node),
    CASE WHEN node:User THEN 'user' WHEN node:Category THEN 'category' ELSE 'item' END,
    coalesce(node.user_id, node.category_id, node.item_id),
    CASE WHEN node:Item THEN node.title ELSE node.name END
  ]]) AS nodes,
  reduce(all = [], part IN parts | all + [step IN relationships(part) |
    [type(step), elementId(startNode(step)), elementId(endNode(step))]]) AS steps
RETURN collect([evidence_id, item_id, strength, nodes, steps]) AS paths
