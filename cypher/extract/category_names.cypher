// Names of some categories.
// mode: read
// params: ids: list[str]
// returns: ids: list[str], names: list[str]
MATCH (category:Category)
WHERE category.category_id IN $ids
RETURN collect(category.category_id) AS ids,
       collect(coalesce(nullIf(toStringOrNull(category.name), 'NaN'), '')) AS names
