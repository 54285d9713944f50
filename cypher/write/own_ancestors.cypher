// Which of some categories are their own ancestors, over however many levels.
// mode: read
// params: category_ids: list[str]
// returns: own_ancestor: str
MATCH (c:Category)
WHERE c.category_id IN $category_ids AND EXISTS {
  MATCH (c)-[:SUBCATEGORY_OF]->(parent:Category)
  MATCH ANY SHORTEST (parent)-[:SUBCATEGORY_OF]->*(c)
  RETURN parent
}
RETURN c.category_id AS own_ancestor
