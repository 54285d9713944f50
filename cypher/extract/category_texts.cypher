// What some categories say of themselves: the values of the properties that are named, as text, each cut
// to so many characters, and of a list its first hundred. What is no text, number, truth or time
// is empty.
// mode: read
// params: ids: list[str], properties: list[str], characters: int
// returns: ids: list[str], texts: list[list[list[str]]]
MATCH (category:Category)
WHERE category.category_id IN $ids
RETURN collect(category.category_id) AS ids,
       collect([key IN $properties | [
         value IN CASE
           WHEN category[key] IS :: LIST<ANY> NOT NULL THEN category[key][..100]
           ELSE [category[key]]
         END | left(coalesce(toStringOrNull(value), ''), $characters)
       ]]) AS texts
