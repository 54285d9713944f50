// The paths of an explain query as lists of what they lead over, in one record: whole nodes would
// bring their vectors along, and each record has its price. A relationship leads from one node of
// its part to the next, or the other way. In the graph of somebody else a path may lead over nodes
// that are none of ours, such as orders, and be a list of parts.
// mode: read
// each: explain = explain/*
// returns: paths: list[list[any]]
CALL () {
<<explain>>
}
WITH *
WHERE -1e30 <= strength <= 1e30
WITH evidence_id, item_id, strength,
     CASE WHEN start IS NULL THEN [] ELSE [start] END + path AS parts
RETURN collect([evidence_id, item_id, strength, [part IN parts | [
  [node IN nodes(part) | CASE
    WHEN node:User
      THEN ['user', CASE WHEN node.user_id IS :: STRING THEN node.user_id END,
            nullIf(toStringOrNull(node.name), 'NaN')]
    WHEN node:Category
      THEN ['category', CASE WHEN node.category_id IS :: STRING THEN node.category_id END,
            nullIf(toStringOrNull(node.name), 'NaN')]
    WHEN node:Item
      THEN ['item', CASE WHEN node.item_id IS :: STRING THEN node.item_id END,
            nullIf(toStringOrNull(node.title), 'NaN')]
    ELSE [toLower(head(labels(node))), null, null]
  END],
  [at IN range(0, length(part) - 1) |
    [type(relationships(part)[at]), startNode(relationships(part)[at]) = nodes(part)[at]]]
]]]) AS paths
