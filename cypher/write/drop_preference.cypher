// Ends that a user prefers a category. Returns a row where they did.
// mode: write
// params: user_id: str, category_id: str
// returns: preferred: int
MATCH (:User {user_id: $user_id})-[r:PREFERS]->(:Category {category_id: $category_id})
WITH collect(r) AS known
WHERE size(known) > 0
FOREACH (old IN known | DELETE old)
RETURN size(known) AS preferred
