// Names of a range of categories.
// mode: read
// params: first: str, last: str
// returns: ids: list[str], names: list[str]
MATCH (category:Category)
WHERE $first <= category.category_id <= $last
RETURN collect(category.category_id) AS ids,
       collect(toString(coalesce(category.name, ''))) AS names
