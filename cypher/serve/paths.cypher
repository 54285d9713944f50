// The paths of an explain query as lists of what they lead over, in one record: whole nodes would
// bring their vectors along, and each record has its price. A relationship leads from one node of
// its part to the next, or the other way.
// mode: read
// each: explain = explain/*
// returns: paths: list[list[any]]
CALL () {
<<explain>>
}
WITH *
WHERE -1e30 <= strength <= 1e30
WITH evidence_id, item_id, strength,
     CASE WHEN start IS NULL THEN [path] ELSE [start, path] END AS parts
RETURN collect([evidence_id, item_id, strength, [part IN parts | [
  [node IN nodes(part) | [
    CASE WHEN node:User THEN 'user' WHEN node:Category THEN 'category' ELSE 'item' END,
    CASE WHEN coalesce(node.user_id, node.category_id, node.item_id) IS :: STRING
      THEN coalesce(node.user_id, node.category_id, node.item_id) END,
    nullIf(toStringOrNull(CASE WHEN node:Item THEN node.title ELSE node.name END), 'NaN')
  ]],
  [at IN range(0, length(part) - 1) |
    [type(relationships(part)[at]), startNode(relationships(part)[at]) = nodes(part)[at]]]
]]]) AS paths
