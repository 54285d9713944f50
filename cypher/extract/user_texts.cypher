// What some users say of themselves: the values of the properties that are named, as text, each cut
// to so many characters, and of a list its first hundred. What is no text, number, truth or time
// is empty.
// mode: read
// params: ids: list[str], properties: list[str], characters: int
// returns: ids: list[str], texts: list[list[list[str]]]
MATCH (user:User)
WHERE user.user_id IN $ids
RETURN collect(user.user_id) AS ids,
       collect([key IN $properties | [
         value IN CASE
           WHEN user[key] IS :: LIST<ANY> NOT NULL THEN user[key][..100]
           ELSE [user[key]]
         END | left(coalesce(toStringOrNull(value), ''), $characters)
       ]]) AS texts
