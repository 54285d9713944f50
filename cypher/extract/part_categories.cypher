// The ids of categories whose inside ids are in a range, and their parents, as a table: a row for
// each parent.
// mode: read
// params: scriptResult: list[map]
// returns: category_id: str, parent_id: str
MATCH (n:Category)
WHERE $scriptResult[0].low <= id(n) < $scriptResult[0].high AND n.category_id > ''
OPTIONAL MATCH (n)-[:SUBCATEGORY_OF]->(parent:Category)
RETURN n.category_id AS category_id, parent.category_id AS parent_id
