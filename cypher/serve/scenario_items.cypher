// Some items as they are now, as `serve/live_items` gives them, and what a scenario asks of them: which conditions each
// meets, what it may share with others, some of its times in Unix seconds, and whether more than ten levels of
// categories are above it, of which ten are looked at. Names of properties are parameters.
// mode: read
// params: item_ids: list[str], category_ids: list[str], conditions: list[map], groups: list[map], times: list[str],
//   above: bool, kinds: bool
// returns: items: list[list[any]], unread: list[list[str]]
MATCH (item:Item)
WHERE item.item_id IN $item_ids
CALL (item) {
  MATCH (item)-[:IN_CATEGORY]->(:Category)-[up:SUBCATEGORY_OF*0..10]->(category:Category)
  WHERE $above
  RETURN collect(DISTINCT category.category_id) AS above,
         count(CASE WHEN size(up) = 10 AND EXISTS { (category)-[:SUBCATEGORY_OF]->() } THEN 1 END) > 0 AS deep
}
CALL (item) {
  MATCH (item)-[:IN_CATEGORY]->(category:Category)
  WHERE $kinds AND category.category_id IS :: STRING NOT NULL
  RETURN collect([toStringOrNull(category.kind), category.category_id]) AS kinds
}
RETURN
  collect([item.item_id, nullIf(toStringOrNull(item.title), 'NaN'),
           coalesce(item.available, true) = true,
           EXISTS {
             (item)-[:IN_CATEGORY]->(category:Category)
             WHERE size($category_ids) > 0 AND category.category_id IN $category_ids
           },
           [c IN $conditions |
             coalesce(CASE c.op
               WHEN 'category' THEN any(each IN above WHERE each IN c.values)
               WHEN 'exists' THEN item[c.name] IS NOT NULL
               WHEN 'in' THEN any(each IN CASE WHEN item[c.name] IS :: LIST<ANY> THEN item[c.name]
                                            ELSE [item[c.name]] END
                                  WHERE each IN c.values)
               WHEN 'range' THEN
                 (c.low IS NULL OR item[c.name] >= c.low OR item[c.name] >= c.low_at)
                 AND (c.high IS NULL OR item[c.name] <= c.high OR item[c.name] <= c.high_at)
               END, false) <> c.negated],
           [g IN $groups |
             [each IN CASE WHEN g.name IS NULL THEN [each IN kinds WHERE each[0] = g.kind | each[1]]
                        WHEN item[g.name] IS :: LIST<ANY> NOT NULL THEN item[g.name]
                        ELSE [item[g.name]] END
              WHERE each = each |
                CASE WHEN each IS :: STRING | INTEGER | FLOAT | BOOLEAN THEN each
                  ELSE toStringOrNull(each) END]],
           [name IN $times |
             CASE WHEN item[name] IS :: ZONED DATETIME NOT NULL THEN item[name].epochMillis / 1000.0
               END],
           deep]) AS items,
  collect(CASE WHEN NOT item.available IS :: BOOLEAN THEN ['Item.available', elementId(item)] END)
  + collect(CASE WHEN item.title IS NOT NULL AND toStringOrNull(item.title) IS NULL
              THEN ['Item.title', elementId(item)] END) AS unread
